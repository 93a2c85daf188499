"""From a log as servers write it to evidence."""

import io
import json
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ulid import ULID

from perennial.datasets.log import FEEDBACK_SCHEMA, prediction_schema
from perennial.errors import ModelError
from perennial.packaging.signature import Feature, Signature
from perennial.registry import FileEntry, Lineage, Manifest, Recipe, append_history, new_entry
from perennial.registry.state import State
from perennial.rollout.observer import SETTLE, Observer
from perennial.spec import parse_spec
from perennial.store import layout

SIGNATURE = Signature(
    task="regression",
    target="y",
    features=(Feature(name="x", kind="numeric"), Feature(name="c", kind="categorical")),
)
BEGAN = datetime(2025, 1, 1, tzinfo=UTC)
SPEC = parse_spec(
    {
        "name": "p",
        "task": "regression",
        "source": {"uri": "a.csv"},
        "target": "y",
        "metric": "mae",
        "rollout": {"slices": ["c"]},
    },
    origin="test",
)


class Model:
    """Answers x plus ``bias``; fails as told on rows of one category."""

    signature = SIGNATURE

    def __init__(self, bias=0.0, nan_on=None, fails_on=None):
        self.bias, self.nan_on, self.fails_on = bias, nan_on, fails_on

    def predict(self, numeric, categorical):
        if self.fails_on is not None and (categorical == self.fails_on).any():
            raise ModelError("it failed")
        output = numeric[:, :1] + np.float32(self.bias)
        output[categorical[:, 0] == self.nan_on] = np.nan
        return output


class Log:
    """Rows are numbered through: id ``r5`` has x 5 and c "a" or, every fifth, "b"."""

    def __init__(self, store):
        self.store, self.rows, self.keys = store, 0, 0

    def answered(
        self, rows, version, role, *, first=None, bias=0.0, latency=1000, minutes=1.0, weight=0.5,
        keys=None,
    ):  # fmt: skip
        start = self.rows if first is None else first
        numbers = range(start, start + rows)
        self.rows = max(self.rows, start + rows)
        table = pa.table(
            {
                "id": [f"r{n}" for n in numbers],
                "time": [BEGAN + timedelta(minutes=minutes)] * rows,
                "pipeline": ["p"] * rows,
                "version": [version] * rows,
                "role": [role] * rows,
                "latency": pa.array([latency] * rows, pa.int32()),
                "features": [{"x": float(n), "c": "b" if n % 5 == 0 else "a"} for n in numbers],
                "output": [[n + bias] for n in numbers],
                "key": list(keys or numbers),
                "weight": [weight] * rows,
            },
            schema=prediction_schema(SIGNATURE),
        )
        if weight is None:
            table = table.drop_columns(["key", "weight"])
        self._put(layout.prediction_log("p"), table)

    def told(self, numbers, truth=None):
        table = pa.table(
            {
                "id": [f"r{n}" for n in numbers],
                "time": [BEGAN] * len(numbers),
                "label": [json.dumps(float(n) if truth is None else truth) for n in numbers],
            },
            schema=FEEDBACK_SCHEMA,
        )
        self._put(layout.feedback_log("p"), table)

    def _put(self, prefix, table):
        buffer = io.BytesIO()
        pq.write_table(table, buffer)
        self.keys += 1
        ulid = ULID.from_timestamp(BEGAN.timestamp() + self.keys)
        self.store.put(layout.log_segment(prefix, str(ulid), table.num_rows), buffer.getvalue())


@pytest.fixture
def log(store):
    lineage = Lineage(
        snapshot="0", spec="0", code="0", environment={}, seed=0, parent=None, reason="a test",
        cause=None, run="a run", recipe=Recipe(trained_rows=0, trial_rows=0, judged_rows=0),
        estimator="linear",
    )  # fmt: skip
    for version in ("old", "new"):
        manifest = Manifest(
            pipeline="p",
            version=version,
            task="regression",
            created_at=BEGAN,
            fence=1,
            files={"model.onnx": FileEntry(sha256="0", size=1)},
            lineage=lineage,
            metrics={"shift": 0.25},
        )
        store.put_json(layout.manifest("p", version), manifest)
    return Log(store)


def state(stage="canary", weight=0.5, **changes):
    cast = {"champion": "old", "challenger": "new"}
    if stage == "bake":
        cast = {"champion": "new", "challenger": None, "previous": "old"}
    times = {"began": BEGAN, "since": BEGAN, "updated_at": BEGAN}
    return State(pipeline="p", stage=stage, weight=weight, **{**cast, **times, **changes})


def observer(log, seen=None, *, old=None, new=None):
    models = {"old": old or Model(), "new": new or Model(bias=1.0)}
    return Observer(log.store, SPEC, seen or state(), models.__getitem__)


def look(watching, minutes=5.0):
    return watching.look(BEGAN + timedelta(minutes=minutes))


def test_before_the_first_row_there_is_only_time(log):
    evidence = look(observer(log))
    assert (evidence.seconds, evidence.rows, len(evidence.losses)) == (300, 0, 0)


def test_both_models_are_held_to_every_labelled_row_whoever_answered(log):
    log.answered(10, "old", "champion")
    log.answered(10, "new", "challenger", bias=1.0)
    log.told(range(20))
    evidence = look(observer(log))
    assert evidence.losses.champion.tolist() == [0.0] * 20
    assert evidence.losses.challenger.tolist() == [1.0] * 20
    assert evidence.gate_shift == 0.25
    assert evidence.shift > 0


def test_losses_come_in_the_order_of_the_labels_and_of_rows_that_have_some(log):
    log.answered(10, "old", "champion")
    log.told([7, 3])
    log.told([99, 5])
    evidence = look(observer(log, new=Model(bias=0.0)))
    assert len(evidence.losses) == 3


def test_a_look_after_each_segment_sees_what_one_look_at_the_end_sees(log):
    watching = observer(log)
    for _ in range(3):
        log.answered(8, "old", "champion")
        log.told(range(log.rows - 8, log.rows))
        seen = look(watching)
    fresh = look(observer(log))
    np.testing.assert_array_equal(seen.losses.challenger, fresh.losses.challenger)
    assert (seen.rows, seen.challenger.rows) == (fresh.rows, fresh.challenger.rows)


def test_live_requests_are_counted_by_who_answered_them(log):
    log.answered(30, "old", "champion", latency=1000)
    log.answered(12, "new", "challenger", latency=51_000)
    evidence = look(observer(log))
    assert (evidence.champion.keys, evidence.challenger.keys) == (30, 12)
    assert set(evidence.challenger.latency) == {51_000}
    assert evidence.rows == 12


def test_requests_of_the_moment_in_which_servers_follow_the_state_do_not_count(log):
    log.answered(30, "old", "champion", weight=0.2)
    log.answered(30, "old", "champion", weight=0.0)
    evidence = look(observer(log))
    assert (evidence.champion.keys, len(evidence.champion.latency)) == (0, 0)
    assert evidence.champion.rows == 60


def test_in_a_log_of_before_routes_were_logged_time_has_to_tell_that(log):
    log.answered(30, "old", "champion", weight=None, minutes=SETTLE.total_seconds() / 60 - 0.01)
    log.answered(20, "old", "champion", weight=None, minutes=SETTLE.total_seconds() / 60 + 0.01)
    evidence = look(observer(log))
    assert (evidence.champion.keys, len(evidence.champion.latency)) == (20, 20)
    assert evidence.champion.rows == 50


def test_a_routing_key_counts_once_however_many_requests_it_sends(log):
    log.answered(30, "old", "champion", keys=[7] * 30)
    log.answered(4, "new", "challenger", bias=1.0, keys=[8, 9, 8, 8])
    evidence = look(observer(log))
    assert (evidence.champion.keys, evidence.challenger.keys) == (1, 2)
    assert (len(evidence.champion.latency), len(evidence.challenger.latency)) == (30, 4)


def test_keys_of_one_side_wait_until_those_of_the_other_side_have_come(log):
    log.answered(20, "old", "champion", minutes=1.0)
    log.answered(20, "new", "challenger", minutes=1.1)
    seen = look(observer(log), minutes=0.1).challenger.keys, look(observer(log)).challenger.keys
    assert seen == (0, 20)


def test_where_the_other_side_never_comes_they_count_all_the_same(log):
    log.answered(20, "old", "champion")
    assert look(observer(log), minutes=0.05).champion.keys == 0
    assert look(observer(log)).champion.keys == 20


def test_a_corrected_label_takes_the_place_of_the_first(log):
    log.answered(4, "old", "champion")
    log.told([0, 1, 2])
    log.told([1], truth=5.0)
    assert look(observer(log)).losses.champion.tolist() == [0.0, 4.0, 0.0]


def test_in_the_shadow_the_rows_count_that_the_challenger_was_shown(log):
    log.answered(30, "old", "champion")
    log.answered(20, "new", "shadow", first=0)
    evidence = look(observer(log, state("shadow", 0.0)))
    assert (evidence.rows, evidence.challenger.rows) == (20, 30)


@pytest.mark.parametrize("flaw", [{"nan_on": "b"}, {"fails_on": "b"}])
def test_a_row_on_which_the_challenger_would_fail_is_seen_before_a_client_is(log, flaw):
    log.answered(20, "old", "champion")
    log.told(range(20))
    evidence = look(observer(log, new=Model(**flaw)))
    assert (evidence.challenger.failed, evidence.champion.failed) == (4, 0)
    assert len(evidence.losses) == 16


def test_a_challenger_that_cannot_be_loaded_is_refused(log):
    def load(version):
        if version == "new":
            raise ModelError("the model cannot be loaded")
        return Model()

    seen = look(Observer(log.store, SPEC, state(), load))
    assert seen.refused == "the model cannot be loaded"


def test_what_a_server_refuses_is_found_in_the_history(log):
    entry = new_entry("model.refused", version="new", reason="no graph", by="a server")
    append_history(log.store, "p", entry)
    assert look(observer(log)).refused == "no graph"


def test_slices_are_the_values_of_their_column(log):
    log.answered(20, "old", "champion")
    log.told(range(20))
    slices = look(observer(log)).losses.slices
    assert {name: int(rows.sum()) for name, rows in slices.items()} == {"c = a": 16, "c = b": 4}


def test_in_the_bake_the_new_champion_is_held_against_the_one_before(log):
    log.answered(30, "old", "champion", latency=900)
    seen = state("bake", 0.0, since=BEGAN + timedelta(minutes=2))
    log.answered(25, "new", "champion", bias=1.0, latency=2000, minutes=3)
    log.told(range(55))
    evidence = look(observer(log, seen))
    assert (evidence.rows, len(evidence.losses)) == (25, 25)
    assert set(evidence.champion.latency) == {900}
    assert set(evidence.challenger.latency) == {2000}


def test_where_no_rollout_is_under_way_there_is_nothing_to_observe(log):
    with pytest.raises(ValueError, match="no rollout is under way"):
        observer(log, state("idle", 0.0, began=None, since=None))
