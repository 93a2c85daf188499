"""Measure the inference server, an echo of the same bytes, and its peers; write a table.

All servers run at the same time and are asked in turn, round by round, so that a busy machine
slows all of them alike; the table holds medians.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import httpx
import numpy as np
import onnxruntime
import psutil

from benchmarks.machine import describe
from benchmarks.ports import free_port, free_ports
from benchmarks.serving import models
from benchmarks.serving.load import Measurement, Target, measure, median
from benchmarks.serving.peers import PEERS, Peer, prepare
from perennial.local import seaweed
from perennial.settings import Settings
from perennial.store import Store, open_store, probe

ECHO, TENSOR, NAMED = "echo (Starlette, uvicorn)", "perennial, tensor", "perennial, named rows"
MIXED_TENSOR, MIXED_NAMED = "perennial, tensor, 10 strings", "perennial, named rows, 10 strings"
BINARY, LOOP = "perennial, 1,000 rows, binary", "onnxruntime in a loop, 1,000 rows"

RESULT = Path(__file__).resolve().parents[1] / "results" / "serving.json"

Processes = dict[str, psutil.Process]


@contextlib.contextmanager
def child(command: list[str], folder: Path, env: dict[str, str]) -> Iterator[psutil.Process]:
    """Run a process until the end of the block."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "output.txt").open("wb") as sink:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, "OMP_NUM_THREADS": "1", **env},
            stdout=sink,
            stderr=sink,
            start_new_session=True,
        )
    family = psutil.Process(process.pid)
    try:
        yield family
    finally:
        members = [family, *family.children(recursive=True)] if family.is_running() else []
        process.terminate()
        _, alive = psutil.wait_procs(members, timeout=15)
        for member in alive:
            member.kill()


@contextlib.contextmanager
def store_server(folder: Path) -> Iterator[Settings]:
    """Run a SeaweedFS with an empty bucket."""
    data = folder / "data"
    data.mkdir(parents=True)
    keys = seaweed.load_keys(folder / "keys.env")
    environment = {**keys.environment(), **seaweed.guard(folder / "guard", keys)}
    ports = free_ports(seaweed.PORT_FLAGS)
    settings = Settings(
        bucket="benchmark",
        s3_endpoint=f"http://127.0.0.1:{ports['s3.port']}",
        access_key=keys.access_key,
        secret_key=keys.secret_key,
    )
    with child(seaweed.command(data, ports), folder, environment):
        wait_until(lambda: probe(open_store(settings, retries=1, timeout=5)))
        yield settings


def wait_until(attempt: object, patience: float = 90.0) -> None:
    """Repeat what fails while a server starts."""
    deadline = time.monotonic() + patience
    while True:
        try:
            attempt()  # type: ignore[operator]
            return
        except Exception:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def answers(url: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> None:
    """See that a server answers 200."""
    httpx.request(
        "GET" if body is None else "POST", url, content=body, headers=headers, timeout=10
    ).raise_for_status()


def start_perennial(
    stack: contextlib.ExitStack, work: Path, settings: Settings
) -> tuple[str, psutil.Process]:
    """Start a server with one worker; give its address and the worker."""
    port = free_port()
    env = {
        "PERENNIAL_S3_ENDPOINT": settings.s3_endpoint or "",
        "PERENNIAL_BUCKET": settings.bucket,
        "AWS_ACCESS_KEY_ID": settings.access_key or "",
        "AWS_SECRET_ACCESS_KEY": settings.secret_key or "",
    }
    command = [sys.executable, "-m", "perennial.serving", "--port", str(port), "--dir", "state"]
    server = stack.enter_context(child(command, work / "perennial", env))
    url = f"http://127.0.0.1:{port}"
    wait_until(lambda: answers(f"{url}/v2/models/numbers/ready"))
    return url, server.children()[0]


def start_echo(stack: contextlib.ExitStack, work: Path) -> str:
    """Start the yardstick."""
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "benchmarks.serving.echo:app"]
    command += ["--port", str(port), "--no-access-log", "--log-level", "warning"]
    root = str(Path(__file__).parents[2])
    stack.enter_context(child(command, work / "echo", {"PYTHONPATH": root}))
    url = f"http://127.0.0.1:{port}/echo"
    wait_until(lambda: answers(url, b"{}"))
    return url


def start_peer(
    stack: contextlib.ExitStack, work: Path, peer: Peer, data: Path, row: np.ndarray
) -> tuple[Target, psutil.Process]:
    """Install, train and start a peer."""
    folder = work.parent / "peers" / peer.name
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    commands = prepare(peer, folder, data, port)
    program, *rest = peer.command(port)
    env = {"PATH": f"{commands}:{os.environ['PATH']}", "BENTOML_DO_NOT_TRACK": "true"}
    process = stack.enter_context(child([str(commands / program), *rest], folder, env))
    target = Target(peer.name, f"http://127.0.0.1:{port}{peer.path}", peer.body(row))
    wait_until(lambda: answers(target.url, target.body, dict(target.headers)))
    return target, process


def loop(graph: bytes, rows: np.ndarray, seconds: int) -> Measurement:
    """Call onnxruntime in a loop, in this process, one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    taken = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        began = time.perf_counter()
        session.run(["output"], {"numeric": rows})
        taken.append((time.perf_counter() - began) * 1e3)
    return Measurement(
        len(taken) / seconds, statistics.median(taken), float(np.quantile(taken, 0.99))
    )


def register_all(store: Store, work: Path) -> tuple[list[tuple[str, str, bytes]], bytes, Path]:
    """Register the models; give routes and bodies, the graph of numbers, the rows for peers."""
    numbers, mixed = models.make_data(20, 0), models.make_data(10, 10)
    graph = models.register(store, "numbers", numbers)
    models.register(store, "mixed", mixed)
    data = work / "rows.npz"
    models.save_for_peers(numbers, data)
    requests = [
        (TENSOR, "/v2/models/numbers/infer", models.tensor_body(numbers)),
        (NAMED, "/v1/models/numbers:predict", models.named_body(numbers)),
        (MIXED_TENSOR, "/v2/models/mixed/infer", models.tensor_body(mixed)),
        (MIXED_NAMED, "/v1/models/mixed:predict", models.named_body(mixed)),
    ]
    return requests, graph, data


def run(work: Path, peers: list[str], seconds: int, rounds: int) -> dict[str, object]:
    """Measure all, and give what is to be reported."""
    numbers = models.make_data(20, 0)
    with contextlib.ExitStack() as stack:
        settings = stack.enter_context(store_server(work / "store"))
        requests, graph, data = register_all(open_store(settings), work)
        url, worker = start_perennial(stack, work, settings)
        processes: Processes = {"perennial": worker}
        targets = [Target(name, url + path, body) for name, path, body in requests]
        targets.append(Target(ECHO, start_echo(stack, work), models.tensor_body(numbers)))
        body, head = models.binary_body(numbers)
        length = (("Inference-Header-Content-Length", str(head)),)
        targets.append(Target(BINARY, f"{url}/v2/models/numbers/infer", body, length))
        for name in peers:
            target, process = start_peer(stack, work, PEERS[name], data, numbers.numeric[0])
            targets.append(target)
            processes[name] = process
        found: dict[str, list[Measurement]] = {t.name: [] for t in targets} | {LOOP: []}
        for _ in range(rounds):
            for target in targets:
                found[target.name].append(measure(target, seconds, work))
            found[LOOP].append(loop(graph, numbers.numeric[: models.BATCH], seconds))
        memory = {name: _megabytes(process) for name, process in processes.items()}
    return {
        "figures": {name: asdict(median(of)) for name, of in found.items()},
        "memory_mb": memory,
        "seconds": seconds,
        "rounds": rounds,
    }


def _megabytes(process: psutil.Process) -> int:
    members = [process, *process.children(recursive=True)]
    return sum(member.memory_info().rss for member in members) >> 20


def table(report: dict[str, object]) -> str:
    """Write the figures as Markdown; the last column is the rate against the echo's."""
    figures: dict[str, dict[str, float]] = report["figures"]  # type: ignore[assignment]
    memory: dict[str, int] = report["memory_mb"]  # type: ignore[assignment]
    echo = figures[ECHO]["rate"]
    lines = [
        "| | a second | p50 ms | p99 ms | MB | of the echo |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for name, f in figures.items():
        size = memory.get(name, memory["perennial"] if name == TENSOR else "")
        lines.append(
            f"| {name} | {f['rate']:,.0f} | {f['p50']:.2f} | {f['p99']:.2f} | {size} "
            f"| {f['rate'] / echo:.2f} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Parse the command line, measure, write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving", description=__doc__)
    parser.add_argument("--seconds", type=int, default=5, help="of each round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peers", nargs="*", default=list(PEERS), choices=list(PEERS))
    parser.add_argument("--out", type=Path, default=Path(".bench/serving"))
    arguments = parser.parse_args()
    work = (arguments.out / time.strftime("%Y%m%d-%H%M%S")).absolute()
    work.mkdir(parents=True)
    report = run(work, arguments.peers, arguments.seconds, arguments.rounds)
    result = {"machine": describe(), **report}
    RESULT.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(table(report))


if __name__ == "__main__":
    main()
