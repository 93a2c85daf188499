"""HTTP as it comes over a socket: broken, slow, large, many at a time."""

from __future__ import annotations

import asyncio
import json
import resource
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from perennial.errors import StackError
from perennial.serving.api import Api
from perennial.serving.auth import Tokens, TokensFile
from perennial.serving.connections import Connections
from perennial.serving.http import Request, Response
from perennial.serving.offload import make_threads
from perennial.serving.options import ServingOptions
from perennial.serving.segment import read_segment
from perennial.serving.worker import within_descriptors
from tests.serving.serving_models import REGRESSION, local_api, sum_model

LIVE = b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n"


class Slow:
    """An api that holds requests with the header X-Slow until its gate is opened."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self.gate = threading.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._api, name)

    def handle(self, request: Request) -> Response:
        if request.headers.get(b"x-slow"):
            self.gate.wait(10)
        return self._api.handle(request)


class Listening:
    """A server in a thread of this process."""

    def __init__(self, directory: Path, options: ServingOptions) -> None:
        local = local_api(directory, {}, options)
        local.add_and_place(REGRESSION, {"1": sum_model()}, champion="1")
        self.api = Slow(local.api)
        self._options = options
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))
        self._thread.start()
        assert self._ready.wait(10)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        with make_threads() as threads:
            self.connections = Connections(self.api, self._options, threads, lambda job: job())
            server = await self._loop.create_server(self.connections.make, "127.0.0.1", 0)
            self.port = server.sockets[0].getsockname()[1]
            self._ready.set()
            while not self._stop.is_set():
                self.connections.sweep()
                await asyncio.sleep(0.02)
            server.close()
            await self.connections.drain()

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)

    def join(self) -> None:
        self.api.gate.set()
        self._thread.join(20)

    def dial(self) -> socket.socket:
        sock = socket.create_connection(("127.0.0.1", self.port))
        sock.settimeout(10)
        return sock

    def send(self, *parts: bytes) -> bytes:
        """Send, and read until the server closes."""
        with self.dial() as sock:
            for part in parts:
                try:
                    sock.sendall(part)
                except (BrokenPipeError, ConnectionResetError):
                    break
            return read_all(sock)


def read_all(sock: socket.socket) -> bytes:
    data = b""
    while chunk := sock.recv(65536):
        data += chunk
    return data


def read_one(sock: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        data += sock.recv(65536)
    head, _, body = data.partition(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    while len(body) < length:
        body += sock.recv(65536)
    return head + b"\r\n\r\n" + body


@contextmanager
def listening(directory: Path, **options: float) -> Iterator[Listening]:
    server = Listening(directory, ServingOptions(**options))
    try:
        yield server
    finally:
        server.stop()
        server.join()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Listening]:
    with listening(tmp_path_factory.mktemp("s"), max_body=100_000, offload=2000) as server:
        yield server


def predict(body: bytes | dict, *headers: str) -> bytes:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [
        "POST /v1/models/m:predict HTTP/1.1",
        "Host: localhost",
        f"Content-Length: {len(data)}",
        *headers,
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + data


ROW = {"rows": [{"x": 1}], "ids": ["a"]}


def test_a_connection_serves_many_requests(server: Listening) -> None:
    with server.dial() as sock:
        for _ in range(3):
            sock.sendall(predict(ROW))
            assert b'"value":1.0' in read_one(sock)


def test_a_request_may_come_byte_by_byte(server: Listening) -> None:
    with server.dial() as sock:
        for byte in predict(ROW):
            sock.sendall(bytes([byte]))
        assert b'"value":1.0' in read_one(sock)


def test_pipelined_requests_are_answered_in_order(server: Listening) -> None:
    large = {"rows": [{"x": 7}] * 500}
    answer = server.send(
        predict({"rows": [{"x": 1}]})
        + predict(large)
        + predict({"rows": [{"x": 3}]})
        + predict({"rows": [{"x": 4}]}, "Connection: close")
    )
    bodies = [
        json.loads(part.split(b"\r\n\r\n")[1]) for part in answer.split(b"HTTP/1.1 200 OK")[1:]
    ]
    assert [b["predictions"][0]["value"] for b in bodies] == [1.0, 7.0, 3.0, 4.0]


def test_chunked_bodies_and_expectations_are_understood(server: Listening) -> None:
    body = json.dumps(ROW).encode()
    chunked = b"%x\r\n%b\r\n%x\r\n%b\r\n0\r\n\r\n" % (5, body[:5], len(body) - 5, body[5:])
    head = (
        b"POST /v1/models/m:predict HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n"
    )
    with server.dial() as sock:
        sock.sendall(head + b"\r\n" + chunked)
        assert b'"value":1.0' in read_one(sock)
        sock.sendall(predict(b"", "Expect: 100-continue").replace(b": 0", b": %d" % len(body)))
        assert sock.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(body)
        assert b'"value":1.0' in read_one(sock)


def test_head_has_the_length_and_no_body(server: Listening) -> None:
    answer = server.send(
        LIVE.replace(b"GET", b"HEAD").replace(b"x\r\n", b"x\r\nConnection: close\r\n")
    )
    assert b"content-length: 13" in answer
    assert answer.endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"CONNECT a:1 HTTP/1.1\r\nHost: x\r\n\r\n",
        predict(b"").replace(b": 0", b": -5"),
        predict(b"").replace(b": 0", b": 99999999999999999999999"),
        predict(b"{}", "Transfer-Encoding: chunked"),
        predict(b"zz\r\n").replace(b"Content-Length: 4", b"Transfer-Encoding: chunked"),
    ],
)
def test_what_is_no_http_gets_400_and_the_end_of_the_connection(
    server: Listening, data: bytes
) -> None:
    answer = server.send(data)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert "error" in json.loads(answer.split(b"\r\n\r\n", 1)[1])


def test_too_large_a_body_gets_413_before_it_is_read(server: Listening) -> None:
    announced = predict(b"").replace(b": 0", b": 300000")
    assert server.send(announced).startswith(b"HTTP/1.1 413 ")
    assert server.send(announced, b"x" * 300_000).startswith(b"HTTP/1.1 413 ")
    chunked = predict(b"").replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
    chunk = b"8000\r\n" + b"x" * 0x8000 + b"\r\n"
    assert server.send(chunked, *[chunk] * 20).startswith(b"HTTP/1.1 413 ")


TOKENS = json.dumps(
    [
        {"name": "shop", "token": "predicts-and-no-more", "scopes": ["predict"]},
        {"name": "desk", "token": "labels-and-that-is-all", "scopes": ["feedback"]},
    ]
)


@pytest.fixture
def guarded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Listening]:
    monkeypatch.setenv("PERENNIAL_TOKENS", TOKENS)
    with listening(tmp_path) as server:
        yield server


@pytest.mark.parametrize(
    ("header", "status"),
    [
        ("X-None: 1", b"401"),
        ("Authorization: Bearer nobody-knows-this-one", b"401"),
        ("Authorization: Bearer labels-and-that-is-all", b"403"),
    ],
)
@pytest.mark.parametrize("length", ["Content-Length: 50000", "Transfer-Encoding: chunked"])
def test_a_token_is_looked_at_before_the_body_comes(
    guarded: Listening, header: str, status: bytes, length: str
) -> None:
    head = predict(b"", header).replace(b"Content-Length: 0", length.encode())
    answer = guarded.send(head)
    assert answer.startswith(b"HTTP/1.1 " + status)
    assert b"connection: close" in answer
    assert guarded.send(head, b"x" * 50_000).startswith(b"HTTP/1.1 " + status)
    assert guarded.connections.in_flight == guarded.connections.buffered == 0


def test_a_connection_without_a_body_outlives_a_wrong_token(guarded: Listening) -> None:
    with guarded.dial() as sock:
        for _ in range(2):
            sock.sendall(b"GET /v2 HTTP/1.1\r\nHost: x\r\n\r\n")
            assert read_one(sock).startswith(b"HTTP/1.1 401 ")
        sock.sendall(predict(ROW, "Authorization: Bearer predicts-and-no-more"))
        assert b'"value":1.0' in read_one(sock)


def test_a_head_that_came_before_is_as_good_as_a_new_one(guarded: Listening) -> None:
    right = predict({"rows": [{"x": 1}]}, "Authorization: Bearer predicts-and-no-more")
    wrong = right.replace(b"predicts-and-no-more", b"predicts-and-no-less")
    with guarded.dial() as sock:
        for number in range(5):
            sock.sendall(right.replace(b'"x": 1', b'"x": %d' % number))
            assert b'"value":%d.0' % number in read_one(sock)
        assert guarded.send(wrong).startswith(b"HTTP/1.1 401 ")
        sock.sendall(right[:-3])
        time.sleep(0.05)
        sock.sendall(right[-3:] + right)
        answers = b""
        while answers.count(b'"value":1.0') < 2:
            answers += sock.recv(65536)


def test_heads_that_were_seen_are_forgotten_in_time(guarded: Listening) -> None:
    with guarded.dial() as sock:
        for number in range(700):
            sock.sendall(b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\nX-Trace: %d\r\n\r\n" % number)
            assert b"200 OK" in read_one(sock)
    assert 0 < len(guarded.connections.heads) <= 512


def test_an_endless_head_gets_431(server: Listening) -> None:
    answer = server.send(b"GET / HTTP/1.1\r\n", *[b"a: " + b"b" * 10_000 + b"\r\n"] * 100)
    assert answer.startswith(b"HTTP/1.1 431 ")


def test_the_request_id_comes_back(server: Listening) -> None:
    with server.dial() as sock:
        sock.sendall(predict(ROW, "X-Request-Id: r-17"))
        assert b"x-request-id: r-17\r\n" in read_one(sock)


def test_slow_clients_are_told_and_dropped(tmp_path: Path) -> None:
    with listening(tmp_path, deadline=0.3, idle=0.3) as server:
        assert server.send(predict(ROW)[:-5]).startswith(b"HTTP/1.1 408 ")
        assert server.send(b"GE").startswith((b"HTTP/1.1 408 ", b""))
        assert server.send(b"") == b""
        with server.dial() as sock:
            sock.sendall(LIVE)
            assert b"200 OK" in read_one(sock)
            assert sock.recv(10) == b""


def test_slow_clients_hold_nobody_else_up(tmp_path: Path) -> None:
    with listening(tmp_path) as server:
        slow = [server.dial() for _ in range(200)]
        for sock in slow:
            sock.sendall(predict(ROW)[:-5])
        with server.dial() as sock:
            began = time.monotonic()
            sock.sendall(predict(ROW))
            assert b'"value":1.0' in read_one(sock)
            assert time.monotonic() - began < 1
        for sock in slow:
            sock.close()


def test_too_many_requests_at_a_time_get_503(tmp_path: Path) -> None:
    with listening(tmp_path, max_requests=3) as server:
        held = [server.dial() for _ in range(3)]
        for sock in held:
            sock.sendall(predict(ROW)[:-5])
        time.sleep(0.2)
        refused = server.send(predict(ROW))
        assert refused.startswith(b"HTTP/1.1 503 ")
        assert b"retry-after: 1" in refused.lower()
        with server.dial() as sock:
            sock.sendall(LIVE)
            assert b"200 OK" in read_one(sock)
        for sock in held:
            sock.sendall(predict(ROW)[-5:])
            assert b'"value":1.0' in read_one(sock)
            sock.close()
        with server.dial() as sock:
            sock.sendall(LIVE)
            assert b"200 OK" in read_one(sock)


def test_too_many_large_requests_get_503_and_small_ones_pass_them(tmp_path: Path) -> None:
    with listening(tmp_path, max_large=2, offload=1000) as server:
        large = predict({"rows": [{"x": 1}] * 200}, "X-Slow: 1")
        held = [server.dial() for _ in range(2)]
        for sock in held:
            sock.sendall(large)
        time.sleep(0.2)
        with server.dial() as sock:
            sock.sendall(predict(ROW))
            assert b"200 OK" in read_one(sock)
            sock.sendall(large)
            assert b"503" in read_one(sock)
        server.api.gate.set()
        for sock in held:
            assert b"200 OK" in read_one(sock)
            sock.close()


def test_a_shutdown_finishes_what_was_taken(tmp_path: Path) -> None:
    with listening(tmp_path, offload=1000) as server:
        busy, idle = server.dial(), server.dial()
        busy.sendall(predict({"rows": [{"x": 1}] * 200}, "X-Slow: 1"))
        idle.sendall(LIVE)
        assert b"200 OK" in read_one(idle)
        time.sleep(0.1)
        server.stop()
        assert idle.recv(10) == b""
        server.api.gate.set()
        answer = read_all(busy)
        assert b"200 OK" in answer
        assert b"connection: close" in answer
        busy.close()
        idle.close()


def test_a_client_that_goes_away_leaves_nothing_behind(tmp_path: Path) -> None:
    with listening(tmp_path, offload=1000) as server:
        for _ in range(3):
            with server.dial() as sock:
                sock.sendall(predict({"rows": [{"x": 1}] * 200}, "X-Slow: 1"))
                time.sleep(0.05)
            with server.dial() as sock:
                sock.sendall(predict(ROW)[:-3])
                time.sleep(0.05)
        server.api.gate.set()
        deadline = time.monotonic() + 5
        while (
            server.connections.in_flight
            or server.connections.offload.held
            or server.connections.open
        ):
            assert time.monotonic() < deadline
            time.sleep(0.02)


def test_a_head_that_does_not_end_takes_nobodys_place(tmp_path: Path) -> None:
    with listening(tmp_path, max_requests=3, head_deadline=0.3) as server:
        slow = [server.dial() for _ in range(20)]
        for sock in slow:
            sock.sendall(b"P")
        time.sleep(0.1)
        assert server.connections.in_flight == 0
        with server.dial() as sock:
            for request in (LIVE, predict(ROW)):
                sock.sendall(request)
                assert b"200 OK" in read_one(sock)
        assert read_all(slow[0]).startswith(b"HTTP/1.1 408 ")
        for sock in slow:
            sock.close()


def test_beyond_the_connections_that_there_may_be_the_longest_wait_is_given_up(
    tmp_path: Path,
) -> None:
    with listening(tmp_path, max_connections=10) as server, server.dial() as under_way:
        under_way.sendall(predict(ROW)[:-5])
        time.sleep(0.05)
        waiting = [server.dial() for _ in range(30)]
        for sock in waiting:
            sock.sendall(b"P")
        with server.dial() as sock:
            sock.sendall(LIVE)
            assert b"200 OK" in read_one(sock)
        assert len(server.connections.open) <= 10
        with suppress(ConnectionResetError):
            assert waiting[0].recv(10) == b""
        under_way.sendall(predict(ROW)[-5:])
        assert b'"value":1.0' in read_one(under_way)
        for sock in waiting:
            sock.close()


def test_an_offer_of_another_protocol_is_passed_over(server: Listening) -> None:
    offer = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMA")
    asked = predict(ROW, *offer)
    live = LIVE.replace(b"\r\n\r\n", b"\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
    with server.dial() as sock:
        for request in (asked, live, asked, live):
            sock.sendall(request)
            assert b"200 OK" in read_one(sock)
        for byte in asked:
            sock.sendall(bytes([byte]))
        assert b'"value":1.0' in read_one(sock)
        last = predict(ROW, "Connection: close, Upgrade", "Upgrade: h2c")
        sock.sendall(asked + live + last)
        assert read_all(sock).count(b"HTTP/1.1 200 OK") == 3
    assert server.connections.in_flight == server.connections.buffered == 0


CHUNKED = predict(b"").replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")


def test_what_follows_a_body_in_chunks_is_passed_over_and_bounded(server: Listening) -> None:
    body = json.dumps(ROW).encode()
    chunks = b"%x\r\n%b\r\n0\r\n" % (len(body), body)
    with server.dial() as sock:
        sock.sendall(CHUNKED + chunks + b"X-Request-Id: late\r\nContent-Encoding: br\r\n\r\n")
        answer = read_one(sock)
        assert b'"value":1.0' in answer
        assert b"late" not in answer
    trailer = b"X-T: " + b"v" * 1000 + b"\r\n"
    assert server.send(CHUNKED + chunks, *[trailer] * 20).startswith(b"HTTP/1.1 431 ")
    assert server.send(CHUNKED + chunks + b"X: ", *[b"v" * 1000] * 100).startswith(b"HTTP/1.1 431 ")
    assert server.send(CHUNKED, *[b"1;%b\r\nx\r\n" % (b"e" * 1000)] * 100).startswith(
        b"HTTP/1.1 431 "
    )


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET /v2/health/live HTTP/1.1\r\n\r\n", b"400"),
        (b"GET /v2/health/live\r\n\r\n", b"400"),
        (predict(b"{}", "Content-Length: 2"), b"400"),
        (predict(b"{}", "Host: localhost"), b"400"),
        (CHUNKED.replace(b"chunked", b"gzip, chunked") + b"0\r\n\r\n", b"501"),
        (CHUNKED.replace(b"chunked", b"identity\r\nTransfer-Encoding: chunked"), b"400"),
        (LIVE.replace(b"live", b"l" * 9000), b"414"),
        (LIVE.replace(b"\r\n\r\n", b"\r\nX: %b\r\n\r\n" % (b"x" * 70_000)), b"431"),
    ],
)
def test_a_head_that_may_be_read_in_two_ways_or_is_too_long_is_refused(
    server: Listening, data: bytes, status: bytes
) -> None:
    assert server.send(data).startswith(b"HTTP/1.1 " + status)
    assert server.connections.in_flight == 0


def test_a_length_of_many_zeros_is_a_length(server: Listening) -> None:
    with server.dial() as sock:
        sock.sendall(predict(ROW).replace(b"Length: ", b"Length: " + b"0" * 5000))
        assert b'"value":1.0' in read_one(sock)


@pytest.mark.parametrize(
    ("header", "status"),
    [
        ("X: 1", b"200"),
        ("Origin: http://localhost:3000", b"200"),
        ("Origin: http://[::1]:8080", b"200"),
        ("Origin: http://127.0.0.1:8080", b"200"),
        ("Origin: https://pages.example", b"403"),
        ("Origin: http://localhost.pages.example", b"403"),
        ("Origin: null", b"403"),
    ],
)
def test_a_server_without_tokens_answers_no_page_of_another_machine(
    server: Listening, header: str, status: bytes
) -> None:
    answer = server.send(predict(ROW, header, "Connection: close"))
    assert answer.startswith(b"HTTP/1.1 " + status)
    asked = predict(ROW, "Connection: close")
    assert server.send(asked.replace(b"localhost", b"[::1]:80")).startswith(b"HTTP/1.1 200")
    assert server.send(asked.replace(b"localhost", b"pages.example")).startswith(b"HTTP/1.1 403")
    listed = b"GET /v1/models HTTP/1.1\r\nHost: pages.example\r\nConnection: close\r\n\r\n"
    assert server.send(listed).startswith(b"HTTP/1.1 403")


def test_a_server_with_tokens_answers_by_any_name(guarded: Listening) -> None:
    asked = predict(ROW, "Authorization: Bearer predicts-and-no-more", "Connection: close")
    assert b"200 OK" in guarded.send(asked.replace(b"localhost", b"models.example"))


def test_connections_are_bounded_by_the_files_that_may_be_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    limits = [(1024, 2048), (1024, 100_000)]
    found = []
    for limit in limits:
        monkeypatch.setattr(resource, "getrlimit", lambda _, limit=limit: limit)
        monkeypatch.setattr(resource, "setrlimit", lambda _, wanted: found.append(wanted))
        found.append(within_descriptors(ServingOptions(max_connections=4096)).max_connections)
    assert found == [(2048, 2048), 1792, (4352, 100_000), 4096]


OWNED = json.dumps(
    [
        {"name": n, "token": f"{n}-{o}-0123456789", "scopes": ["predict", "feedback"], "owner": o}
        for n, o in (("shop", "sales"), ("desk", "sales"), ("rival", "rival"))
    ]
)


def test_ids_are_their_owners_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERENNIAL_TOKENS", OWNED)
    rows = {"rows": [{"x": 1}, {"x": 2}], "ids": ["b", "c"]}
    label = json.dumps({"id": "a", "label": 3}).encode()
    with listening(tmp_path) as server, server.dial() as sock:
        for who in ("shop-sales", "rival-rival"):
            token = f"Authorization: Bearer {who}-0123456789"
            for asked in (predict(ROW, token), predict(ROW, token), predict(rows, token)):
                sock.sendall(asked)
                answer = json.loads(read_one(sock).split(b"\r\n\r\n")[1])
                assert answer["predictions"][0]["id"] in ("a", "b")
        told = predict(label, "Authorization: Bearer desk-sales-0123456789")
        sock.sendall(told.replace(b":predict", b":feedback"))
        assert b'"accepted":1' in read_one(sock)
        server.api.log.close()
    logged = [read_segment(path) for path in (tmp_path / "log").rglob("*.closed")]
    ids = [name for segment in logged for record in segment.predictions for name in record.ids]
    wanted = ["sales:a", "sales:a", "sales:b", "sales:c"]
    assert sorted(ids) == sorted([*wanted, *(w.replace("sales", "rival") for w in wanted)])
    assert [record.id for segment in logged for record in segment.feedback] == ["sales:a"]


def test_either_all_tokens_have_an_owner_or_none() -> None:
    tokens = json.loads(OWNED)
    for owner in (None, "sales:", ""):
        given = json.dumps([*tokens, {**tokens[0], "token": "0" * 16, "owner": owner}])
        with pytest.raises(StackError, match="owner"):
            Tokens.from_env({"PERENNIAL_TOKENS": given})


def test_a_token_that_is_taken_out_of_its_file_is_good_no_more(
    guarded: Listening, tmp_path: Path
) -> None:
    file = tmp_path / "tokens.json"
    file.write_text(TOKENS)
    followed = TokensFile({"PERENNIAL_TOKENS_FILE": str(file)})
    assert followed.reread() is None
    asked = predict(ROW, "Authorization: Bearer predicts-and-no-more")
    with guarded.dial() as sock:
        for _ in range(2):  # its head is known by then
            sock.sendall(asked)
            assert b"200 OK" in read_one(sock)
        file.write_text(TOKENS.replace("predicts-and-no-more", "predicts-since-today"))
        tokens = followed.reread()
        assert tokens is not None
        guarded.connections.replace_tokens(tokens)
        sock.sendall(asked.replace(b"predicts-and-no-more", b"predicts-since-today"))
        assert b"200 OK" in read_one(sock)
        sock.sendall(asked)
        assert b" 401 " in read_one(sock)
    file.write_text(" ")
    with pytest.raises(StackError, match="holds no tokens"):
        followed.reread()
    assert followed.reread() is None
