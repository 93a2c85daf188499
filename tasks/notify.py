"""Tell people what happened without them."""

from __future__ import annotations

from prefect.logging import get_run_logger

from tasks.connection import settings


def notify(title: str, body: str) -> None:
    """Send a message to every address in PERENNIAL_NOTIFY (Apprise's: mailto://, slack://, ...).

    Whatever it tells of stands in the history, so a message that cannot be sent is a warning.
    """
    urls = settings().notify
    if not urls:
        return
    import apprise

    sender = apprise.Apprise()
    fit = [sender.add(url) for url in urls]
    if not all(fit) or not sender.notify(title=title, body=body):
        get_run_logger().warning("not everybody in PERENNIAL_NOTIFY could be told: %s", title)
