"""Tell people what happened without them: once an incident, with the reason and a link."""

from __future__ import annotations

from prefect import runtime
from prefect.logging import get_logger
from prefect.settings import get_current_settings
from pydantic import AwareDatetime, BaseModel

from perennial.errors import Conflict, StoreError
from perennial.store import layout
from perennial.store.lease import utc_now
from tasks.artifacts import LINK_SECONDS
from tasks.connection import settings, store

_LONGEST = 600

logger = get_logger("perennial.notify")


class Notice(BaseModel):
    """That people were told of an incident."""

    format: int = 1
    title: str
    at: AwareDatetime


def notify(
    pipeline: str,
    title: str,
    reason: str,
    *,
    incident: str | None = None,
    page: str | None = None,
    run: str | None = None,
) -> None:
    """Send a message to every address in PERENNIAL_NOTIFY (Apprise's: mailto://, slack://, ...).

    Whatever it tells of stands in the history, so a message that cannot be sent is a warning.

    Args:
        incident: names what happened; whoever tells of it again is not heard. None: the caller
            comes by only once.
        page: key of a page in the store to link to.
        run: id of the flow run to link to; None: the present one.
    """
    urls = settings().notify
    if not urls or not _is_first(pipeline, incident, title):
        return
    import apprise

    sender = apprise.Apprise()
    fit = [sender.add(url) for url in urls]
    body = _body(reason, page, run or str(runtime.flow_run.id))
    if not sender.notify(title=f"{pipeline}: {title}", body=body):
        _forget(pipeline, incident)
        fit.append(False)
    if not all(fit):
        logger.warning("not everybody in PERENNIAL_NOTIFY could be told: %s: %s", pipeline, title)


def _body(reason: str, page: str | None, run: str) -> str:
    short = reason if len(reason) <= _LONGEST else f"{reason[:_LONGEST]}…"
    ui = get_current_settings().ui_url
    link = f"Run: {ui}/runs/flow-run/{run}" if ui else f"Run: {run}"
    more = [] if page is None else [f"Page: {store().link(page, LINK_SECONDS)}"]
    return "\n".join([short, link, *more])


def _is_first(pipeline: str, incident: str | None, title: str) -> bool:
    """Be the one who tells; what the store cannot say is told rather twice than never."""
    if incident is None:
        return True
    try:
        notice = Notice(title=title, at=utc_now())
        store().put_json(layout.notice(pipeline, incident), notice, if_absent=True)
    except Conflict:
        return False
    except StoreError as error:
        logger.warning("who was told is not known: %s", error)
    return True


def _forget(pipeline: str, incident: str | None) -> None:
    """Have it told again: nobody heard of it."""
    if incident is None:
        return
    try:
        store().delete(layout.notice(pipeline, incident))
    except StoreError as error:
        logger.warning("who was told is not known: %s", error)
