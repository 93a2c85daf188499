"""All pipelines at a glance, and what is said of a name that is none, from the command line."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from typer.testing import CliRunner

from perennial.cli import app
from perennial.drift.decision import Decision
from perennial.drift.record import Check
from perennial.errors import SpecError
from perennial.local.stack import PartStatus, StackStatus
from perennial.registry import append_history, change_state, declare, new_entry
from perennial.registry.look import Look
from perennial.store import layout
from perennial.store.lease import utc_now
from tests.drift.verdicts import loss
from tests.serving.serving_models import put_version, sum_model

LEAST = "task: regression\nsource: {uri: d.csv}\ntarget: y\n"


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty current folder, and nothing in sight but its own data."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PERENNIAL_PIPELINES", "data")
    return tmp_path


@pytest.fixture
def reached(here, store, settings, monkeypatch):
    """The same with a store."""
    monkeypatch.setenv("PERENNIAL_S3_ENDPOINT", settings.s3_endpoint)
    monkeypatch.setenv("PERENNIAL_BUCKET", settings.bucket)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", settings.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", settings.secret_key)
    return store


PART = PartStatus(
    name="store",
    title="S3 store",
    running=True,
    healthy=True,
    since=None,
    restarts=0,
    url=None,
    pid=1,
    fault=None,
)


def declared(here, name, more=""):
    folder = here / "data" / name
    folder.mkdir(parents=True)
    (folder / "pipeline.yaml").write_text(f"name: {name}\n{LEAST}{more}")
    return folder


def fail(store, name, times):
    for number in range(times):
        append_history(
            store, name, new_entry("retrain.failed", reason=f"no file {number}", by="test")
        )


def live(store, folder):
    """A champion, a check with its loss, and a look later."""
    name = declare(store, folder).spec.name
    version = put_version(store, name, "0001-abcdef01", sum_model())
    change_state(
        store,
        name,
        lambda state: state.model_copy(update={"champion": "0001-abcdef01"}),
        new_entry("version.registered", version="0001-abcdef01", reason="r", by="test"),
    )
    check = Check(
        pipeline=name,
        window="w000007",
        rows=50,
        champion="0001-abcdef01",
        input=None,
        losses=(loss(1.25),),
        decision=Decision(action="keep", ground="none", reason="r"),
        at=utc_now() - timedelta(minutes=50),
    )
    store.put_json(layout.check(name, "w000007"), check)
    store.put_json(layout.look(name), Look(at=utc_now() - timedelta(minutes=5)))
    return version


def run(*arguments):
    return CliRunner().invoke(app, arguments, catch_exceptions=False)


def test_a_pipeline_is_described_in_lines_of_eighty_columns(here, reached):
    live(reached, declared(here, "shop"))
    fail(reached, "shop", 2)
    lines = run("pipelines").stdout.splitlines()
    assert lines[0] == "shop"
    assert max(map(len, lines)) <= 80
    text = " ".join(line.strip() for line in lines)
    assert "champion 0001-abcdef01, " in text
    assert "loss 1.25 times its reference" in text
    assert "last check w000007, 50 min ago: keep; last look 5 min ago; next look in" in text
    assert "! no successful retrain since " in text
    assert "(2 failures in a row): no file 1" in text
    assert "declared in data/shop" in text


def test_what_is_known_of_one_is_there_for_programs_too(here, reached):
    live(reached, declared(here, "shop"))
    (one,) = json.loads(run("pipelines", "--json").stdout)
    assert (one["pipeline"], one["champion"], one["loss"]) == ("shop", "0001-abcdef01", 1.25)
    assert one["declared"] == str(here / "data" / "shop")
    assert one["next_look"] is not None


def test_one_that_is_broken_is_told_of_and_the_others_are_shown(here, reached):
    live(reached, declared(here, "shop"))
    declared(here, "typo", "taget: z\n")
    live(reached, declared(here, "torn"))
    reached.put(layout.state("torn"), b"{")
    reached.put(layout.declaration("lost"), b"{}")
    found = {one["pipeline"]: one for one in json.loads(run("pipelines", "--json").stdout)}
    assert set(found) == {"lost", "shop", "torn", "typo"}
    assert "did you mean target?" in found["typo"]["fault"]
    assert "torn/state.json cannot be read" in found["torn"]["fault"]
    assert "lost/pipeline.json cannot be read" in found["lost"]["fault"]
    assert run("pipelines").stdout.count("! cannot be read:") == 3
    assert found["shop"]["fault"] is None
    assert found["shop"]["champion"] is not None


def test_demos_are_listed_only_when_they_are_asked_for(here, reached):
    folder = here / "elsewhere"
    folder.mkdir()
    (folder / "pipeline.yaml").write_text(f"name: shop-demo\n{LEAST}")
    declare(reached, folder, demo=True)
    assert "shop-demo" not in run("pipelines").stdout
    assert "shop-demo (a demo)" in run("pipelines", "--demos").stdout


def test_without_a_store_what_is_declared_is_listed_and_that_is_said(here):
    declared(here, "shop")
    said = run("pipelines")
    assert said.exit_code == 0
    assert said.stdout.splitlines() == ["shop", "  declared in data/shop"]
    assert len(said.stderr.splitlines()) == 1
    assert "no stack is up" in said.stderr


def test_of_two_folders_with_one_name_the_one_that_does_not_count_is_named(here, monkeypatch):
    declared(here, "shop")
    declared(here / "other", "shop")
    monkeypatch.setenv("PERENNIAL_PIPELINES", "data:other/data")
    assert "comes first: other/data/shop" in run("pipelines").stdout


@pytest.mark.parametrize(
    "command",
    [
        *(["versions"], ["history"], ["show", "1"], ["compare", "1", "2"], ["report"]),
        *(["rollback"], ["advance"], ["approve"], ["quarantine"], ["gc", "--dry-run"]),
        *(["pin", "1"], ["reproduce", "1"], ["export", "1", "--to", "x"], ["validate", "x"]),
    ],
    ids=lambda command: command[0],
)
def test_a_name_that_is_none_is_refused_with_those_that_there_are(here, reached, command):
    declare(reached, declared(here, "bike"))
    declared(here, "shop")
    with pytest.raises(SpecError) as caught:
        run(command[0], "shp", *command[1:])
    assert str(caught.value) == (
        "there is no pipeline 'shp'; there are bike, shop (did you mean 'shop'?)"
    )


def test_the_history_ends_with_what_keeps_failing(here, reached):
    live(reached, declared(here, "shop"))
    fail(reached, "shop", 1)
    assert "no successful" not in run("history", "shop").stdout
    fail(reached, "shop", 1)
    last = run("history", "shop").stdout.splitlines()[-1]
    assert last.startswith("! no successful retrain since")


def test_the_status_says_which_pipelines_keep_failing(here, reached, monkeypatch):
    seen = StackStatus(up=True, directory=here, parts=(PART,))
    monkeypatch.setattr("perennial.local.status", lambda _: seen)
    live(reached, declared(here, "shop"))
    assert json.loads(run("status", "--json").stdout)["alarms"] == []
    fail(reached, "shop", 2)
    said = run("status")
    assert said.exit_code == 0
    assert said.stdout.splitlines()[-1].startswith("! shop: no successful retrain since")


def test_a_sweep_of_all_goes_past_one_that_is_broken(here, reached):
    declare(reached, declared(here, "shop"))
    reached.put(layout.declaration("lost"), b"{}")
    result = CliRunner().invoke(app, ["gc", "--dry-run"])
    assert "shop: 0 objects would go" in result.stdout
    assert "lost: lost/pipeline.json cannot be read" in str(result.exception)
