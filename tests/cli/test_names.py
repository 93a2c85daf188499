"""A pipeline's name and its folder work alike, and the release is told."""

import pytest

from perennial import __version__
from perennial.errors import PerennialError, SpecError


def test_the_release_is_told(run):
    assert run("--version").output == f"perennial {__version__}\n"


@pytest.mark.usefixtures("one_process")
@pytest.mark.parametrize("given", ["bike", "data/bike", "data/bike/", "data/bike/pipeline.yaml"])
def test_a_name_and_a_folder_mean_the_same(learned, run, given):
    assert "Nothing is in quarantine" in run("quarantine", given).output
    assert "temp" in run("expectations", given).output
    with pytest.raises(PerennialError, match="bike has no version yet"):
        run("versions", given)
    assert "bike: 0 objects would go" in run("gc", given, "--dry-run").output
    asked = ["--windows", "2", "--policies", "never"]
    assert "bike: 200 rows" in run("backtest", given, *asked).output


@pytest.mark.usefixtures("bike")
@pytest.mark.parametrize("command", ["backtest", "demo"])
def test_a_pipeline_that_is_in_no_folder_is_answered_with_those_that_are(run, command):
    with pytest.raises(SpecError, match=r"there is no pipeline 'shop'; there are bike"):
        run(command, "shop")
    with pytest.raises(SpecError, match=r"there is no pipeline.yaml in data/shop"):
        run(command, "data/shop")


@pytest.mark.usefixtures("one_process")
def test_folders_are_looked_for_where_the_environment_says(bike, here, run, monkeypatch):
    bike.parent.rename(here / "declared")
    monkeypatch.setenv("PERENNIAL_PIPELINES", "nowhere:declared")
    asked = ["--windows", "2", "--policies", "never"]
    assert "bike: 200 rows" in run("backtest", "bike", *asked).output
