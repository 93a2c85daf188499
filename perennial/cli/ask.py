"""Ask the server as a client does: a prediction, and later the truth."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from perennial.cli.common import Directory, Json, Pipeline, app, print_json
from perennial.errors import PerennialError, RequestError, StackError
from perennial.settings import DEFAULT_DIR, Settings

_TIMEOUT = 30.0
Token = Annotated[
    str | None,
    typer.Option(
        envvar="PERENNIAL_TOKEN", help="Where the server asks for one.", show_default=False
    ),
]


@app.command()
def predict(
    pipeline: Pipeline,
    rows: Annotated[
        str,
        typer.Option(
            "--json",
            help="A row as an object, a list of rows, or a whole body with rows and ids; "
            "@FILE reads a file, - the standard input.",
        ),
    ],
    identifier: Annotated[
        str | None,
        typer.Option("--id", help="Of the row, under which its truth will be told."),
    ] = None,
    token: Token = None,
    directory: Directory = DEFAULT_DIR,
) -> None:
    """Ask the running server for a prediction, and print its answer as JSON.

    The request is logged, as every one is: **perennial feedback NAME ID LABEL** tells the truth
    about it later. Exit code 1 with the server's own words where it refuses.
    """
    body = _body(_parse(_text(rows)))
    if identifier is not None:
        body = {**body, "ids": [identifier]}
    answer = _post(pipeline, "predict", body, token, directory)
    print_json(answer)


@app.command()
def feedback(
    pipeline: Pipeline,
    identifier: Annotated[str, typer.Argument(help="Id of the request.", metavar="ID")],
    label: Annotated[str, typer.Argument(help="What was true.")],
    token: Token = None,
    directory: Directory = DEFAULT_DIR,
    as_json: Json = False,
) -> None:
    """Tell the running server what was true of an earlier request."""
    labels = [{"id": identifier, "label": _scalar(label)}]
    answer = _post(pipeline, "feedback", {"labels": labels}, token, directory)
    if as_json:
        print_json(answer)
    else:
        typer.echo(f"{identifier}: {label} is noted.")


def _text(given: str) -> str:
    if given == "-":
        return sys.stdin.read()
    if not given.startswith("@"):
        return given
    try:
        return Path(given[1:]).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RequestError(f"--json: {given[1:]} cannot be read: {error}") from None


def _parse(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_no_constant)
    except ValueError as error:
        raise RequestError(f"--json: that is no JSON: {error}") from None
    except RecursionError:
        raise RequestError("--json: that is nested too deep") from None


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no value; null stands for what is missing")


def _body(given: Any) -> dict[str, Any]:
    if isinstance(given, list):
        return {"rows": given}
    if not isinstance(given, dict):
        raise RequestError("--json: write a row as an object, or a list of rows")
    return given if isinstance(given.get("rows"), list) else {"rows": [given]}


def _scalar(text: str) -> Any:
    """A number where it is one; a class's name is a text, whatever JSON makes of it."""
    try:
        value = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return text
    return value if isinstance(value, int | float) else text


def _post(
    pipeline: str, verb: str, body: dict[str, Any], token: str | None, directory: Path
) -> Any:
    """Ask, and give the decoded answer.

    Raises:
        StackError: there is no server, or it cannot be reached.
        PerennialError: it refuses; its own words.
    """
    import httpx

    url = Settings.load(directory).server_url
    if url is None:
        raise StackError("no server is configured: run 'perennial up' or set PERENNIAL_SERVER_URL")
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    try:
        answer = httpx.post(
            f"{url.rstrip('/')}/v1/models/{pipeline}:{verb}",
            json=body,
            headers=headers,
            timeout=_TIMEOUT,
            trust_env=False,
        )
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise StackError(f"the server at {url} cannot be reached: {error}") from None
    try:
        told = answer.json()
    except ValueError:
        told = None
    if answer.is_success and told is not None:
        return told
    reason = told.get("error") if isinstance(told, dict) else None
    raise PerennialError(f"{reason or 'no answer that can be read'} ({answer.status_code})")
