"""A client that does not end its request is cut off, and nobody else is."""

from __future__ import annotations

import asyncio

import pytest
import uvicorn

from perennial.alerts import timed
from perennial.alerts.timed import TimedProtocol

ASKED = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


async def answer(scope, receive, send):
    if scope["type"] != "http":
        return
    while (await receive()).get("more_body"):
        pass
    await asyncio.sleep(0.3)  # longer than a request may take to arrive
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"done"})


async def ask(port: int, data: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    try:
        return await asyncio.wait_for(reader.read(1000), 5)
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


async def served() -> list[bytes]:
    config = uvicorn.Config(answer, port=0, http=TimedProtocol, log_config=None, lifespan="off")
    server = uvicorn.Server(config)
    config.load()
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    port = server.servers[0].sockets[0].getsockname()[1]
    half = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab"
    answers = await asyncio.gather(*(ask(port, data) for data in (b"", b"G", half, ASKED)))
    await server.shutdown()
    return answers


def test_a_request_has_only_so_long_to_arrive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timed, "PATIENCE", 0.1)
    *slow, whole = asyncio.run(served())
    assert slow == [b"", b"", b""]
    assert whole.startswith(b"HTTP/1.1 200 OK")
