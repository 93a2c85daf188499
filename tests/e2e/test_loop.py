"""The whole loop through real parts: a stream turns round, and the model follows by itself."""

import json
import re
import time
from datetime import datetime

import httpx

from perennial.drift.record import Check
from perennial.registry import find_declaration, list_versions, read_history, read_state
from perennial.store import layout
from tests.e2e.conftest import PROJECT, ROWS, WINDOWS, perennial
from tests.e2e.rollouts import ENDED_WELL

SERVED = ROWS - ROWS // 5
NAME = "turning-demo"
"""Of the demo of the pipeline ``turning``."""


def test_every_request_was_answered_and_is_in_the_log(demo):
    assert demo.summary["requests"] == {"sent": SERVED, "answered": SERVED, "failed": 0}
    assert demo.summary["log"] == {"predictions": SERVED, "feedback": SERVED}


def test_the_drift_was_healed_by_the_automation(demo):
    registered = [e for e in read_history(demo.store, NAME) if e.event == "version.registered"]
    depths = [entry.details["depth"] for entry in registered if entry.cause is not None]
    assert [heal["depth"] for heal in demo.summary["heals"]] == depths
    assert demo.summary["retrains"] == depths.count("retrain")
    heal = demo.summary["heals"][0]
    assert heal["reason"].startswith("small models of the newest rows are tried")
    assert "a new model is due" in " ".join(heal["reason"] for heal in demo.summary["heals"])
    order = [heal[key] for key in ("confirmed_at", "first_line_at", "registered_at", "live_at")]
    assert order == sorted(order, key=datetime.fromisoformat)
    assert heal["first_answer_at"] is not None


def test_the_heal_was_worth_it(demo):
    score = demo.summary["score"]
    assert score["perennial"] < 0.8 * score["never"]


def test_the_newest_version_answers(demo):
    state = read_state(demo.store, NAME).state
    versions = [manifest.version for manifest in list_versions(demo.store, NAME)]
    assert state.champion == versions[-1]
    assert demo.summary["promotions"][-1]["version"] == state.champion
    ready = httpx.get(f"{demo.settings.server_url}/v2/health/ready").json()
    assert ready["models"][NAME] == state.champion


def test_every_window_has_its_verdict_in_the_store(demo):
    checks = [
        Check.model_validate_json(demo.store.get(info.key).data)
        for info in demo.store.scan(f"{NAME}/checks/")
    ]
    assert [check.window for check in checks] == [f"w{n:06d}" for n in range(1, WINDOWS + 1)]
    assert {"keep", "heal"} == {check.decision.action for check in checks}


def test_the_history_has_no_holes(demo):
    history = list(read_history(demo.store, NAME))
    registered = [e.version for e in history if e.event == "version.registered"]
    promoted = [e.version for e in history if e.event == "rollout.promoted"]
    assert registered == promoted
    assert read_state(demo.store, NAME).state.revision == len(history)


LAYOUT = [
    r"pipeline\.json",
    r"expectations\.json",
    r"state\.json",
    r"(rollout-|look-)?lease\.json",
    r"log/(predictions|feedback)/[0-9A-Z]{26}\.(merged\.[0-9A-Z]{26}\.)?\d+\.parquet",
    r"snapshots/[0-9a-f]{64}\.(json|parquet|html)",
    r"quarantine/(w\d{6}(-held)?|[0-9a-f]{64})/(record\.json|rows\.parquet|released/.+\.json)",
    r"versions/\d{4}-[0-9a-f]{8}/(manifest|refused|metrics|gate|spec|environment)\.json",
    r"versions/\d{4}-[0-9a-f]{8}/(trial-)?signature\.json",
    r"versions/\d{4}-[0-9a-f]{8}/(model|recent|all|trial)\.onnx",
    r"versions/\d{4}-[0-9a-f]{8}/(reference|judged)\.parquet",
    r"versions/\d{4}-[0-9a-f]{8}/(model\.(md|html)|(rollout|bake)\.html)",
    r"versions/\d{4}-[0-9a-f]{8}/source\.(skops|safetensors)",
    r"history/[0-9A-Z]{26}\.json",
    r"checks/w\d{6}\.json",
    r"facts/[0-9a-f]{64}\.json",
    r"look\.json",
]


def test_every_decision_comes_out_the_same_again(demo):
    said = perennial("replay", NAME, "--json", "-", cwd=demo.directory.parent)
    assert said.returncode == 0, said.stdout + said.stderr
    windows = json.loads(said.stdout)
    assert len(windows) == WINDOWS
    assert {(tuple(w["differences"]), w["lost"]) for w in windows} == {((), None)}


def test_the_bucket_holds_what_the_layout_says_and_nothing_else(demo):
    keys = [info.key for info in demo.store.scan("") if info.key != layout.probe("raced")]
    strange = [k for k in keys if not any(re.fullmatch(f"{NAME}/{p}", k) for p in LAYOUT)]
    assert strange == []


def test_a_demo_leaves_nothing_under_the_pipelines_own_name(demo):
    assert [info.key for info in demo.store.scan("turning/")] == []
    listed = json.loads(perennial("pipelines", "--json", cwd=demo.directory.parent).stdout)
    (mine,) = [one for one in listed if one["pipeline"].startswith("turning")]
    assert (mine["pipeline"], mine["known"]) == ("turning", False)
    api = f"{demo.settings.prefect_address}/deployments/name/monitor/monitor"
    monitor = httpx.get(api).json()
    assert monitor["schedules"] == []
    (names,) = [
        branch["enum"]
        for branch in monitor["parameter_openapi_schema"]["properties"]["pipeline"]["anyOf"]
        if "enum" in branch
    ]
    assert "turning" in names
    assert NAME not in names


def test_the_report_is_there(demo):
    folder = demo.directory / "demo" / "turning"
    assert (demo.directory / "demo" / "report.html").samefile(folder / "report.html")
    assert (folder / "report.png").read_bytes().startswith(b"\x89PNG")
    assert "turning" in (folder / "report.html").read_text()


def test_the_stack_tells_that_it_is_well(demo):
    said = perennial("status", "--json", cwd=demo.directory.parent)
    parts = {part["name"]: part for part in json.loads(said.stdout)["parts"]}
    assert set(parts) == {"store", "prefect", "serving", "alerts", "worker"}
    assert all(part["healthy"] for part in parts.values())


def test_a_demo_that_leaves_it_up_says_how_to_look_at_it(demo):
    assert ".perennial/prefect.auth" in demo.output


def test_a_second_up_says_that_it_is_up(demo):
    said = perennial("up", cwd=demo.directory.parent)
    assert said.returncode == 0
    assert "up already" in said.stdout


def test_every_station_is_a_deployment_of_its_own(demo):
    found = httpx.post(f"{demo.settings.prefect_address}/deployments/filter", json={}).json()
    wanted = {"retrain", "rollout", "monitor", "score", "compact"}
    assert wanted <= {deployment["name"] for deployment in found}


def flow_runs(demo):
    """All that were started; not those that a schedule has planned for a later day."""
    found = httpx.post(f"{demo.settings.prefect_address}/flow_runs/filter", json={}).json()
    return [run for run in found if run["state_type"] != "SCHEDULED" or not run["auto_scheduled"]]


def test_every_flow_run_ends_and_says_what_it_did(demo):
    deadline = time.monotonic() + 60
    while any(run["end_time"] is None for run in flow_runs(demo)):
        assert time.monotonic() < deadline
        time.sleep(0.5)
    runs = flow_runs(demo)
    assert {run["state_type"] for run in runs} <= ENDED_WELL
    assert any(f"retrain {NAME}: " in run["name"] for run in runs)
    assert all(f"pipeline:{NAME}" in run["tags"] for run in runs if NAME in run["name"])
    assert {"Registered", "Checked"} <= {run["state_name"] for run in runs}


def test_no_shift_is_answered_twice(demo):
    answers = [
        entry.cause
        for entry in read_history(demo.store, NAME)
        if entry.event in ("version.registered", "version.refused")
    ]
    assert len(set(answers)) == len(answers)


def told(demo, command):
    said = perennial(command, NAME, "--json", cwd=demo.directory.parent)
    return json.loads(said.stdout)


def test_the_command_line_tells_the_same(demo):
    champion = demo.summary["promotions"][-1]["version"]
    assert told(demo, "versions")[-1]["version"] == champion
    promoted = [e["version"] for e in told(demo, "history") if e["event"] == "rollout.promoted"]
    assert promoted[-1] == champion


def test_a_demo_does_not_touch_a_pipeline_with_versions_of_its_own(demo):
    declaration = find_declaration(demo.store, NAME)
    own = declaration.model_copy(update={"demo": False})
    demo.store.put_json(layout.declaration(NAME), own)
    try:
        said = perennial("demo", "turning", "--windows", "6", cwd=demo.directory.parent)
    finally:
        demo.store.put_json(layout.declaration(NAME), declaration)
    assert said.returncode == 1
    assert said.stderr.startswith("Error: pipeline turning-demo has versions that no demo made")
    assert read_state(demo.store, NAME).state.champion is not None


def test_no_secret_stands_in_a_log(demo):
    secret = demo.settings.secret_key
    logs = [*(demo.directory / "logs").iterdir()]
    assert logs
    assert [log.name for log in logs if secret in log.read_text(errors="replace")] == []


def test_the_examples_are_valid_declarations():
    from perennial.spec import load_spec

    names = [load_spec(folder).name for folder in sorted((PROJECT / "data").iterdir())]
    assert names == ["bike", "elec2", "flights"]
