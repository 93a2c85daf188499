"""The server as a process, against a real store."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import httpx
import pytest

from perennial.errors import StackError
from perennial.registry import read_history
from perennial.serving.options import ServingOptions
from perennial.serving.server import of_a_worker, serve
from perennial.settings import Settings
from perennial.store import Store, layout
from tests.serving.serving_models import (
    BINARY,
    MULTICLASS,
    put_state,
    put_version,
    sigmoid_model,
    softmax_model,
    sum_model,
)
from tests.serving.serving_process import (
    ServerProcess,
    logged_ids,
    read_log,
    running_server,
    wait_for,
)

pytestmark = pytest.mark.servers


@pytest.fixture(scope="module")
def server(
    module_settings: Settings, module_store: Store, tmp_path_factory: pytest.TempPathFactory
):
    put_version(module_store, "bike", "0001-a", sum_model())
    put_state(module_store, "bike", "0001-a")
    put_version(module_store, "late", "0001-b", sigmoid_model(), BINARY)
    put_state(module_store, "late", "0001-b")
    put_version(module_store, "kind", "0001-c", softmax_model(), MULTICLASS)
    put_state(module_store, "kind", "0001-c")
    put_state(module_store, "empty", None)
    folder = tmp_path_factory.mktemp("server")
    with running_server(module_settings, folder, segment_age=0.2) as server:
        server.wait_for_version("kind", "0001-c")
        yield server


def test_a_regression_answers_values_under_the_given_ids(server: ServerProcess) -> None:
    answer = server.predict(
        "bike", [{"x": 1, "z": 2.5, "city": "b"}, {"ts": "noon"}], ids=["p", "q"]
    )
    assert answer.status_code == 200, answer.text
    assert answer.json() == {
        "model": "bike",
        "version": "0001-a",
        "predictions": [{"id": "p", "value": 5.5}, {"id": "q", "value": 0.0}],
        "missing": {"x": 1, "city": 1, "z": 1},
    }


def test_a_classification_answers_label_and_probabilities(server: ServerProcess) -> None:
    [binary] = server.predict("late", [{"x": 0.0}], ids=["r"]).json()["predictions"]
    assert binary == {"id": "r", "label": "yes", "probability": {"no": 0.5, "yes": 0.5}}
    [kind] = server.predict("kind", [{"x": -9.0}]).json()["predictions"]
    assert kind["label"] == "c"
    assert sum(kind["probability"].values()) == pytest.approx(1, abs=1e-6)


def test_ids_are_made_where_none_are_given(server: ServerProcess) -> None:
    answers = [server.predict("bike", [{}, {}]).json()["predictions"] for _ in range(2)]
    ids = [p["id"] for predictions in answers for p in predictions]
    assert len(set(ids)) == 4


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b'{"rows": [{"nope": 1}]}', 422, "unknown field 'nope'"),
        (b'{"rows": [{"x": "1"}]}', 422, "field 'x' must be a number"),
        (b'{"rows": [{"x": 1e400}]}', 422, "float32"),
        (b'{"rows": [{"x": 1e39}]}', 422, "float32"),
        (b'{"rows": [{"x": NaN}]}', 400, "no JSON"),
        (b'{"rows": [3]}', 422, "an object of named fields"),
        (b'{"rows": []}', 422, "empty"),
        (b'{"rows": [{}], "ids": []}', 422, "0 ids for 1 rows"),
        (b'{"rows": [{}, {}], "ids": ["a", "a"]}', 422, "twice"),
        (b'{"rowz": [{}]}', 422, "rowz"),
        (b"{}", 422, "rows is missing"),
        (b"", 400, "no JSON"),
        (b"[" * 20000, 422, ""),
        (b'{"rows": ' + b"[" * 20000, 422, ""),
        (b'{"rows": [{"x": ' + b"[" * 20000, 400, "recursion"),
        (b'{"rows": [{"city": "\xff"}]}', 400, "utf-8"),
    ],
)
def test_what_does_not_fit_is_refused_in_words(
    server: ServerProcess, body: bytes, status: int, words: str
) -> None:
    answer = server.client.post("/v1/models/bike:predict", content=body)
    assert answer.status_code == status
    assert words in answer.json()["error"]


def test_unknown_and_empty_pipelines_are_told_apart(server: ServerProcess) -> None:
    assert server.predict("nobody", [{}]).status_code == 404
    empty = server.predict("empty", [{}])
    assert empty.status_code == 503
    assert "no champion yet" in empty.json()["error"]
    assert empty.headers["retry-after"]
    assert server.client.get("/nowhere").status_code == 404
    assert server.client.get("/v1/models/bike:predict").status_code == 405


def test_predictions_reach_the_store(server: ServerProcess, module_store: Store) -> None:
    server.predict("bike", [{"x": 1, "city": "a", "ts": 7}, {"z": -2}], ids=["s1", "s2"])
    wait_for(lambda: "s2" in logged_ids(module_store, "bike"))
    table = read_log(module_store, layout.prediction_log("bike"))
    rows = {row["id"]: row for row in table.to_pylist()}
    assert rows["s1"]["features"] == {"x": 1.0, "city": "a", "z": None, "ts": "7"}
    assert rows["s2"]["features"] == {"x": None, "city": None, "z": -2.0, "ts": None}
    assert rows["s2"]["output"] == [-2.0]
    assert (rows["s1"]["version"], rows["s1"]["role"]) == ("0001-a", "champion")
    assert rows["s1"]["pipeline"] == "bike"
    assert 0 <= rows["s1"]["latency"] < 1_000_000


@pytest.mark.parametrize(
    "body",
    [
        {"id": "f1", "label": 12.5},
        [{"id": "f1", "label": 12.5}],
        {"labels": [{"id": "f1", "label": 12.5}]},
    ],
)
def test_feedback_reaches_the_store(
    server: ServerProcess, module_store: Store, body: object
) -> None:
    before = read_log(module_store, layout.feedback_log("bike"))
    rows = 0 if before is None else before.num_rows
    answer = server.client.post("/v1/models/bike:feedback", json=body)
    assert answer.json() == {"model": "bike", "accepted": 1}

    def arrived() -> bool:
        table = read_log(module_store, layout.feedback_log("bike"))
        return table is not None and table.num_rows == rows + 1

    wait_for(arrived)
    last = read_log(module_store, layout.feedback_log("bike")).to_pylist()[-1]
    assert (last["id"], last["label"]) == ("f1", "12.5")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"id": "f"}, 422),
        ({"id": "f", "label": None}, 422),
        ({"id": "f", "label": "high"}, 422),
        ({"id": "", "label": 1}, 422),
        ([], 422),
        ({"id": 1, "label": 1}, 422),
    ],
)
def test_feedback_that_says_nothing_is_refused(
    server: ServerProcess, body: object, status: int
) -> None:
    answer = server.client.post("/v1/models/bike:feedback", json=body)
    assert answer.status_code == status, answer.text


def test_a_promotion_under_load_fails_no_request(settings: Settings, store: Store, tmp_path: Path):
    for number in range(3):
        put_version(store, "bike", f"000{number}-a", sum_model(number))
    put_state(store, "bike", "0000-a")
    with running_server(settings, tmp_path / "server", workers=2) as server:
        server.wait_for_version("bike", "0000-a")
        statuses: set[int] = set()
        stale: list[str] = []
        current = ["0000-a", time.monotonic()]
        stop = threading.Event()

        def load() -> None:
            with httpx.Client(base_url=server.url) as client:
                while not stop.is_set():
                    began = time.monotonic()
                    answer = client.post("/v1/models/bike:predict", json={"rows": [{"x": 1}]})
                    statuses.add(answer.status_code)
                    version = answer.json()["version"]
                    if version != current[0] and began > current[1] + 2:
                        stale.append(version)

        threads = [threading.Thread(target=load) for _ in range(4)]
        for thread in threads:
            thread.start()
        for number in (1, 2):
            put_state(store, "bike", f"000{number}-a", revision=number)
            current[:] = [f"000{number}-a", time.monotonic()]
            time.sleep(2.5)
        stop.set()
        for thread in threads:
            thread.join()
        assert statuses == {200}
        assert stale == []


@pytest.mark.parametrize(
    ("model", "damaged", "reason"),
    [(sum_model(1), True, "sha256 differs"), (b"no graph", False, "cannot be loaded")],
)
def test_a_version_that_cannot_be_served_is_refused_and_the_old_one_goes_on(
    settings: Settings, store: Store, tmp_path: Path, model: bytes, damaged: bool, reason: str
) -> None:
    put_version(store, "bike", "0001-a", sum_model())
    put_state(store, "bike", "0001-a")
    with running_server(settings, tmp_path / "server") as server:
        server.wait_for_version("bike", "0001-a")
        put_version(store, "bike", "0002-b", model, damaged=damaged)
        for revision in (1, 2):
            put_state(store, "bike", "0002-b", revision=revision)
            wait_for(lambda: read_revision(server) == revision)  # noqa: B023
        assert server.predict("bike", [{}]).json()["version"] == "0001-a"
        ready = server.client.get("/v2/health/ready")
        assert ready.status_code == 200
        assert reason in ready.json()["refused"]["bike"]["0002-b"]
        [index] = [
            entry
            for entry in server.client.post("/v2/repository/index").json()
            if entry["version"] == "0002-b"
        ]
        assert (index["state"], reason in index["reason"]) == ("UNAVAILABLE", True)
        wait_for(lambda: 'refused{model="bike"} 1' in server.client.get("/metrics").text)
        [entry] = read_history(store, "bike")
        assert (entry.event, entry.version) == ("model.refused", "0002-b")
        assert reason in entry.reason
        put_state(store, "bike", "0001-a", revision=3)
        wait_for(lambda: 'refused{model="bike"} 0' in server.client.get("/metrics").text)


def read_revision(server: ServerProcess) -> int:
    lineup = json.loads((server.directory / "models" / "lineup.json").read_text())
    return lineup["pipelines"]["bike"]["revision"]


def test_the_server_ends_cleanly_with_its_log_in_the_store(
    settings: Settings, store: Store, tmp_path: Path
) -> None:
    put_version(store, "bike", "0001-a", sum_model())
    put_state(store, "bike", "0001-a")
    with running_server(settings, tmp_path / "server", segment_age=60) as server:
        server.wait_for_version("bike", "0001-a")
        server.predict("bike", [{}], ids=["last"])
        assert server.stop() == 0
        assert logged_ids(store, "bike") == ["last"]
        assert not list((server.directory / "log").glob("*/*/*"))


def test_killed_under_load_every_answered_id_is_in_the_store_exactly_once(
    settings: Settings, store: Store, tmp_path: Path
) -> None:
    put_version(store, "bike", "0001-a", sum_model())
    put_state(store, "bike", "0001-a")
    answered: list[str] = []
    stop = threading.Event()
    with running_server(settings, tmp_path / "server", workers=2, segment_age=0.3) as server:
        server.wait_for_version("bike", "0001-a")
        threads = [
            threading.Thread(target=ask_until, args=(server.url, stop, answered, f"t{i}"))
            for i in range(4)
        ]
        for thread in threads:
            thread.start()
        for _ in range(3):
            time.sleep(0.7)
            server.workers()[0].kill()
        time.sleep(0.7)
        server.kill()
        server.start()
        time.sleep(0.7)
        stop.set()
        for thread in threads:
            thread.join()
        assert server.stop() == 0
    assert len(answered) > 100
    ids = logged_ids(store, "bike")
    assert len(ids) == len(set(ids))
    assert set(answered) <= set(ids)


def ask_until(url: str, stop: threading.Event, answered: list[str], prefix: str) -> None:
    """Ask, each time under a new id, and note the ids that were answered."""
    with httpx.Client(base_url=url, timeout=20) as client:
        number = 0
        while not stop.is_set():
            number += 1
            body = {"rows": [{"x": 1.0}], "ids": [f"{prefix}-{number}"]}
            try:
                answer = client.post("/v1/models/bike:predict", json=body)
            except httpx.TransportError:
                time.sleep(0.01)
                continue
            if answer.status_code == 200:
                answered.append(body["ids"][0])


def test_without_the_store_the_last_good_state_is_served(
    settings: Settings, store: Store, tmp_path: Path
) -> None:
    put_version(store, "bike", "0001-a", sum_model())
    put_state(store, "bike", "0001-a")
    with running_server(settings, tmp_path / "server") as server:
        server.wait_for_version("bike", "0001-a")
        assert server.stop() == 0
    away = Settings(
        bucket=settings.bucket, s3_endpoint="http://127.0.0.1:9", access_key="a", secret_key="b"
    )
    with running_server(away, tmp_path / "server") as server:
        assert server.predict("bike", [{}], ids=["alone"]).status_code == 200
        wait_for(lambda: bool(list((server.directory / "log").glob("*/*/*.sealed"))))
        server.kill()
    with running_server(settings, tmp_path / "server"):
        wait_for(lambda: logged_ids(store, "bike") == ["alone"])


def test_a_rollout_through_shadow_and_canary(
    settings: Settings, store: Store, tmp_path: Path
) -> None:
    put_version(store, "bike", "0001-a", sum_model())
    put_version(store, "bike", "0002-b", sum_model(100))
    put_state(store, "bike", "0001-a", challenger="0002-b", stage="shadow")
    with running_server(settings, tmp_path / "server", workers=2) as server:
        server.wait_for_version("bike", "0001-a")
        for number in range(20):
            assert server.predict("bike", [{}], ids=[f"s{number}"]).json()["version"] == "0001-a"
        put_state(
            store, "bike", "0001-a", challenger="0002-b", stage="canary", weight=0.5, revision=1
        )
        wait_for(lambda: server.predict("bike", [{}]).json()["version"] == "0002-b")
        time.sleep(1)
        by_key = {
            key: {
                server.predict("bike", [{}], headers={"X-Routing-Key": key}).json()["version"]
                for _ in range(4)
            }
            for key in map(str, range(20))
        }
        assert all(len(versions) == 1 for versions in by_key.values())
        assert {v for versions in by_key.values() for v in versions} == {"0001-a", "0002-b"}
        assert server.stop() == 0
    rows = read_log(store, layout.prediction_log("bike")).to_pylist()
    shadowed = {row["id"] for row in rows if row["role"] == "shadow"}
    assert shadowed >= {f"s{number}" for number in range(20)}
    assert {row["version"] for row in rows if row["role"] == "challenger"} == {"0002-b"}


def test_the_log_waits_for_a_store_that_is_away_and_refuses_at_its_bound(
    settings: Settings, store: Store, tmp_path: Path
) -> None:
    put_version(store, "bike", "0001-a", sum_model())
    put_state(store, "bike", "0001-a")
    with running_server(settings, tmp_path / "server") as server:
        server.wait_for_version("bike", "0001-a")
        assert server.stop() == 0
    away = Settings(
        bucket=settings.bucket, s3_endpoint="http://127.0.0.1:9", access_key="a", secret_key="b"
    )
    answered = []
    with running_server(away, tmp_path / "server", log_bound=20_000) as server:

        def refuses() -> bool:
            body = {"rows": [{"x": 1}] * 20, "ids": [f"{len(answered)}-{i}" for i in range(20)]}
            answer = server.client.post("/v1/models/bike:predict", json=body)
            if answer.status_code == 200:
                answered.extend(body["ids"])
                return False
            assert answer.status_code == 503
            assert answer.headers["retry-after"]
            assert "wait for the store" in answer.json()["error"]
            return True

        wait_for(refuses)
        metrics = server.client.get("/metrics").text
        assert "perennial_log_refusals_total 1" in metrics
        assert server.stop() == 0
    with running_server(settings, tmp_path / "server") as server:
        wait_for(lambda: len(logged_ids(store, "bike")) >= len(answered))
        assert sorted(logged_ids(store, "bike")) == sorted(answered)
        assert server.predict("bike", [{}]).status_code == 200


def test_a_directory_serves_one_server(settings: Settings, store: Store, tmp_path: Path) -> None:
    with (
        running_server(settings, tmp_path),
        pytest.raises(AssertionError, match="used by another server"),
        running_server(settings, tmp_path),
    ):
        pass


def test_without_tokens_only_loopback_is_listened_on(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(StackError, match="loopback only"):
        serve(settings, host="0.0.0.0", port=0, directory=tmp_path)


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("PERENNIAL_SERVE_MAX_ROW", "1", "no option"),
        ("PERENNIAL_SERVE_MAX_ROWS", "many", "MAX_ROWS"),
        ("PERENNIAL_SERVE_MAX_ROWS", "0", "above zero"),
    ],
)
def test_an_option_that_makes_no_sense_is_refused(variable: str, value: str, words: str) -> None:
    with pytest.raises(StackError, match=words):
        ServingOptions.from_env({variable: value})


def test_what_reads_strangers_bytes_knows_no_key_but_its_tokens() -> None:
    secrets = ("AWS_SECRET_ACCESS_KEY", "PREFECT_API_AUTH_STRING", "PERENNIAL_NOTIFY")
    secrets += ("PERENNIAL_SIGNING_KEY", "PERENNIAL_ALERTS_TOKEN_FILE", "AWS_ACCESS_KEY_ID_FILE")
    kept = {"PERENNIAL_TOKENS_FILE": "tokens", "PERENNIAL_STACK_ID": "1", "PATH": "/bin"}
    assert of_a_worker({**dict.fromkeys(secrets, "secret"), **kept}) == kept
