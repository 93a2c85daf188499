"""Rows to score, a registered version to score them with, and the scores read back.

As a program: scores ``in`` into ``out/`` in the bucket of the environment and prints by how many
bytes its memory grew at most.
"""

import io
import json
import os
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.machine import peak_memory
from perennial.packaging.predictor import Predictor
from perennial.registry import read_file, read_manifest, read_signature
from perennial.registry.manifest import MODEL_FILE
from perennial.scoring import (
    Request,
    Scorer,
    find_job,
    fix_job,
    new_job,
    parse_address,
)
from perennial.settings import Settings
from perennial.store import Store, open_store


def rows(count: int, seed: int = 0) -> pa.Table:
    rng = np.random.default_rng(seed)
    return pa.table(
        {
            "id": [f"i{n}" for n in range(count)],
            "x": rng.normal(size=count),
            "city": rng.choice(["a", "b", "c"], count),
            "z": pa.array(rng.integers(0, 9, count), mask=rng.random(count) < 0.2),
        }
    )


def put(store: Store, key: str, table: pa.Table, group: int = 1000) -> None:
    buffer = io.BytesIO()
    pq.write_table(table, buffer, row_group_size=group)
    store.put(key, buffer.getvalue())


def scorer(
    store: Store,
    *,
    source: str = "in",
    keep: tuple[str, ...] = (),
    part_rows: int = 2000,
    version: str = "0001",
    asked: str | None = None,
) -> Scorer:
    address = parse_address(source, store.bucket)
    request = Request(pipeline="p", input=str(address), keep=keep)
    job = find_job(store, "out/", request, asked)
    if job is None:
        signature = read_signature(store, read_manifest(store, "p", version))
        planned = new_job(store, address, request, version, signature, part_rows)
        job = fix_job(store, "out/", planned, asked)
    manifest = read_manifest(store, "p", job.version)
    model = read_file(store, manifest, MODEL_FILE)
    return Scorer(store, store, "out/", job, Predictor(model, read_signature(store, manifest)))


def scores(store: Store) -> pa.Table:
    keys = [info.key for info in store.scan("out/part-")]
    return pa.concat_tables([pq.read_table(io.BytesIO(store.get(key).data)) for key in keys])


def expected(table: pa.Table) -> np.ndarray:
    """What `sum_model` answers."""
    frame = table.to_pandas()
    city = frame["city"].map({"a": 1.0, "b": 2.0, "c": 0.0})
    return (frame["x"].fillna(0) + frame["z"].fillna(0) + city).to_numpy(dtype=np.float32)


if __name__ == "__main__":
    part_rows = int(sys.argv[1])
    home = open_store(Settings.from_env(os.environ))
    program = scorer(home, part_rows=part_rows)
    run = program.run()
    next(run)
    before = peak_memory()
    count = sum(1 for _ in run)
    print(json.dumps({"parts": count + 1, "growth": peak_memory() - before}))
