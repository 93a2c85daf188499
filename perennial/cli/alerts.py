"""The service that alerts come in by."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from perennial.cli.common import Directory, app
from perennial.settings import DEFAULT_DIR

if TYPE_CHECKING:
    from perennial.store import Store


@app.command()
def alerts(
    directory: Directory = DEFAULT_DIR,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The port to listen on.")] = 8081,
    rules: Annotated[
        Path | None,
        typer.Option(
            envvar="PERENNIAL_ALERTS_RULES",
            help="YAML that says which alert asks for what. Left out: the labels pipeline (or "
            "model) and perennial_action say.",
        ),
    ] = None,
) -> None:
    """Take alerts over HTTP, in the foreground, and have the loop look, retrain or step back.

    **POST /v1/alerts** takes Alertmanager's webhook, or `{"pipeline": "bike", "action": "retrain",
    "reason": "..."}`; the actions are monitor, retrain and rollback. Every request bears the token
    that PERENNIAL_ALERTS_TOKEN_FILE (a file) or PERENNIAL_ALERTS_TOKEN names. **perennial up** runs
    one already, with a token in alerts.token. **/metrics** has the loop's figures for Prometheus.
    """
    import os

    from perennial.alerts.desk import Desk
    from perennial.alerts.prefect import Prefect
    from perennial.alerts.rules import read_rules
    from perennial.alerts.service import Service, read_token, serve
    from perennial.report.loop import LoopMetrics
    from perennial.serving.logs import configure_logging
    from perennial.settings import ENV_FILE, Settings, read_env_file
    from perennial.store import open_store

    configure_logging()
    environ = {**read_env_file(directory / ENV_FILE), **os.environ}
    settings = Settings.from_env(environ)
    declared, token = read_rules(rules), read_token(environ)
    store = open_store(settings, retries=2, timeout=10.0)
    prefect = Prefect(settings.prefect_api_url, environ)
    desk = Desk(store, prefect, put_back, declared)
    serve(Service(desk, declared, token, LoopMetrics(store)), host=host, port=port)


def put_back(store: Store, pipeline: str, to: str, why: str, by: str) -> str:
    """Make a version champion, as **perennial rollback** does; return who answers now."""
    from perennial.rollout import moves

    state, _ = moves.put_back(store, pipeline, to=to, why=why, by=by)
    return str(state.champion)
