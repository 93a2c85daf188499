"""A Parquet folder is judged in batches as the same rows are at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from perennial.errors import ValidationFailed
from perennial.validation import validate, validate_parquet

ROWS = pd.DataFrame({"a": np.arange(1000.0), "b": ["x", "y"] * 500, "unnamed": np.arange(1000)})


def rule(kind: str, **kwargs: Any) -> dict[str, Any]:
    return {"type": kind, "kwargs": kwargs, "meta": {"severity": "hold"}}


RULES = {
    "of the table alone": [rule("expect_table_row_count_to_be_between", max_value=999)],
    "of one column": [rule("expect_column_max_to_be_between", column="a", max_value=998)],
    "of a column that is not there": [rule("expect_column_to_exist", column="z")],
    "of each row": [
        rule("expect_column_values_to_be_in_set", column="b", value_set=["x"]),
        rule("expect_column_values_to_be_unique", column="b"),
    ],
    "kept": [rule("expect_column_values_to_be_increasing", column="a")],
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two files of several row groups each."""
    for number, part in enumerate((ROWS.iloc[:600], ROWS.iloc[600:])):
        part.to_parquet(tmp_path / f"part-{number}.parquet", row_group_size=150, index=False)
    return tmp_path


@pytest.mark.parametrize("rules", RULES)
def test_the_verdict_is_the_same(folder: Path, rules: str) -> None:
    suite = {"name": "p", "expectations": RULES[rules]}
    assert validate_parquet(folder, suite, batch_rows=64) == validate(ROWS, suite)


def test_only_columns_that_rules_name_are_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: set[str] = set()
    add = "perennial.validation.evaluate.Evaluation.add"
    monkeypatch.setattr(add, lambda self, frame: seen.update(frame.columns))
    validate_parquet(folder, {"name": "p", "expectations": RULES["of one column"]})
    assert seen == {"a"}


def test_what_is_no_parquet_is_refused(tmp_path: Path) -> None:
    (tmp_path / "part.parquet").write_text("no")
    with pytest.raises(ValidationFailed, match="cannot be read as Parquet"):
        validate_parquet(tmp_path, {"name": "p", "expectations": []})
