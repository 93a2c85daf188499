from flows.compact import compact
from perennial.datasets.log_reader import list_segments
from perennial.registry import declare
from perennial.store import layout
from tasks.compact import Sizes
from tests.datasets.conftest import LogWriter
from tests.flows.conftest import frame
from tests.flows.test_flows import run

AT_ONCE = Sizes(fewest=2, age_minutes=0)


def written(store, name, segments):
    log = LogWriter(store, name)
    for _ in range(segments):
        log.predictions(5)
    log.feedback({"r1": 1})
    log.feedback({"r2": 2})


def counts(store, prefix):
    objects = list(store.scan(prefix))
    return len(objects), sum(segment.rows for segment in list_segments(store, prefix))


def test_the_logs_of_every_pipeline_are_compacted(connected, pipeline):
    declare(connected, pipeline(frame()))
    written(connected, "line", 4)
    written(connected, "unknown", 2)
    state = run(compact, sizes=AT_ONCE)
    assert (state.name, state.message) == ("Compacted", "line: 6 segments in 2 files")
    assert counts(connected, layout.prediction_log("line")) == (1, 20)
    assert counts(connected, layout.feedback_log("line")) == (1, 2)
    assert counts(connected, layout.prediction_log("unknown")) == (2, 10)
    assert run(compact, sizes=AT_ONCE).message == "line: 0 segments in 0 files"


def test_young_segments_are_left_alone(connected):
    written(connected, "line", 20)
    assert run(compact, pipeline="line").message == "line: 0 segments in 0 files"


def test_a_damaged_log_does_not_keep_the_others_from_being_compacted(connected, pipeline):
    folder = pipeline(frame())
    declare(connected, folder)
    file = folder / "pipeline.yaml"
    file.write_text(file.read_text().replace("name: line", "name: bent"))
    declare(connected, folder)
    written(connected, "line", 3)
    written(connected, "bent", 3)
    first = next(connected.scan(layout.prediction_log("bent"))).key
    connected.put(first, b"no parquet")
    state = run(compact, sizes=AT_ONCE)
    assert state.type.value == "FAILED"
    assert state.message.startswith(f"bent: segment {first} is damaged")
    assert counts(connected, layout.prediction_log("line")) == (1, 15)
