"""Each nasty table ends in a pipeline that trains, with the right times, or in one clear line."""

import pandas as pd
import pytest

from perennial.datasets.labels import typed_labels
from perennial.datasets.source import read_rows
from perennial.declaring import init_pipeline
from perennial.errors import PerennialError
from perennial.spec import load_spec
from perennial.training.train import train
from tests.nasty.tables import Nasty, all_tables

TABLES = all_tables()


def declare(nasty: Nasty, folder):
    """As a user would: `perennial init`, then the models that a second is enough for."""
    data = nasty.write(folder)
    init_pipeline("nasty", data, target=nasty.target, time=nasty.time, folder=folder)
    spec = load_spec(folder)
    quick = {"estimators": ("linear", "hist_gradient_boosting"), "time_budget": "1s"}
    model = type(spec.model).model_validate({**spec.model.model_dump(), **quick})
    return spec.model_copy(update={"model": model})


def fit(rows: pd.DataFrame, spec):
    """Train as a retrain does: on the rows that have a label."""
    rows = rows.assign(**{spec.target: typed_labels(rows[spec.target], spec.task)})
    rows = rows[rows[spec.target].notna()]
    return train(rows.drop(columns=[c for c in spec.ignore if c in rows]), spec)


def works(nasty: Nasty, folder):
    """The path of a first hour: declared, read, trained, and trained again later on."""
    spec = declare(nasty, folder)
    read = read_rows(spec, folder)
    fit(read.frame.iloc[: 2 * len(read.frame) // 3], spec)
    fit(read.frame, spec)
    return read


@pytest.mark.parametrize("nasty", TABLES, ids=[nasty.name for nasty in TABLES])
def test_it_trains_with_the_right_times_or_says_in_one_line_why_not(nasty, tmp_path):
    if nasty.refused is not None:
        with pytest.raises(PerennialError, match=nasty.refused) as caught:
            works(nasty, tmp_path)
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 500
        return
    read = works(nasty, tmp_path)
    assert len(read.aside) == nasty.aside
    if nasty.time is not None:
        assert nasty.times is not None
        got = pd.Series(list(read.frame[nasty.time]), index=list(read.frame["x"]))
        assert got.is_monotonic_increasing
        assert (got == nasty.times.reindex(got.index)).all()
    for column, kind in nasty.kinds.items():
        assert read.frame[column].dtype.kind == kind
    for column, values in nasty.values.items():
        assert list(read.frame[column][: len(values)]) == values


def test_there_are_fifty_of_them_and_each_has_a_name_of_its_own():
    assert len({nasty.name for nasty in TABLES}) == len(TABLES) >= 50


def test_a_table_is_the_same_at_every_call(tmp_path):
    for turn in ("one", "two"):
        (tmp_path / turn).mkdir()
    written = [
        [t.write(tmp_path / turn).read_bytes() for t in all_tables() if t.name == "german excel"]
        for turn in ("one", "two")
    ]
    assert written[0] == written[1]
