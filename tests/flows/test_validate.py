import io

import pyarrow as pa
import pyarrow.parquet as pq

from flows.retrain import retrain
from flows.validate import validate
from tests.flows.conftest import frame
from tests.flows.test_backtest import artifact
from tests.flows.test_flows import run


def put(store, key, data):
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pandas(data, preserve_index=False), buffer)
    store.put(key, buffer.getvalue())


def test_a_source_and_a_folder_are_held_against_what_was_learned(connected, pipeline):
    pipeline(frame(400))
    assert run(retrain, pipeline="line").name == "Registered"
    assert run(validate, pipeline="line").name == "Sound"
    put(connected, "in/a.parquet", frame(200, seed=4))
    put(connected, "in/b.parquet", frame(200, seed=5).assign(x=1e6))
    state = run(validate, pipeline="line", data="in")
    assert state.name == "Would be held"
    assert state.message.startswith("400 rows, ")
    assert "x: expect_column" in state.message
    (first, second) = [info.key for info in connected.scan("line/validations/")]
    assert b"data.csv, held against" in connected.get(first).data
    shown = artifact("validate-line").data
    assert second in shown
    assert "| x | expect_column" in shown
    assert not list(connected.scan("line/quarantine/"))


def test_what_cannot_be_read_is_said_in_a_line(connected, pipeline):
    pipeline(frame(400))
    assert "has no expectations yet" in run(validate, pipeline="line").message
    run(retrain, pipeline="line")
    assert "no such file" in run(validate, pipeline="line", data="nowhere.parquet").message
    assert "write s3://" in run(validate, pipeline="line", data="ftp://x/y").message
