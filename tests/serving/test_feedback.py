"""Labels that come by HTTP."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from perennial.packaging.signature import Signature
from perennial.serving.segment import read_segment
from tests.serving.serving_models import (
    BINARY,
    MULTICLASS,
    REGRESSION,
    LocalApi,
    local_api,
    sigmoid_model,
    softmax_model,
    sum_model,
)

FEEDBACK = "/v1/models/m:feedback"
NUMBERED = BINARY.model_copy(update={"classes": ("0", "1")})


def place(folder: Path, signature: Signature, model: bytes) -> LocalApi:
    made = local_api(folder, {})
    made.add_and_place(signature, {"1": model}, champion="1")
    return made


def refusal(local: LocalApi, body: object) -> str:
    answer = local.ask("POST", FEEDBACK, body)
    assert answer.status == 422, answer.body
    return str(json.loads(answer.body)["error"])


def labels(local: LocalApi) -> list[str]:
    local.log.close()
    paths = sorted((local.directory / "log" / "m" / "feedback").glob("*"))
    return [r.label for path in paths for r in read_segment(path).feedback]


@pytest.mark.parametrize("label", ["n/a", "yes", 2, True, "01", 0.5])
def test_a_class_that_a_binary_task_does_not_have_is_refused(tmp_path: Path, label: object) -> None:
    local = place(tmp_path, NUMBERED, sigmoid_model())
    words = refusal(local, {"id": "o-17", "label": label})
    assert words == f"the label of 'o-17': {label!r} is none of the classes 0, 1"
    assert labels(local) == []


@pytest.mark.parametrize("label", [0, 1, "0", "1", 0.0, 1.0])
def test_the_forms_of_a_class_are_one(tmp_path: Path, label: object) -> None:
    local = place(tmp_path, NUMBERED, sigmoid_model())
    assert local.ask("POST", FEEDBACK, {"id": "o-17", "label": label}).status == 200


@pytest.mark.parametrize("label", ["d", 7, True])
def test_a_multiclass_task_takes_new_classes(tmp_path: Path, label: object) -> None:
    local = place(tmp_path, MULTICLASS, softmax_model())
    assert local.ask("POST", FEEDBACK, {"id": "a", "label": label}).status == 200


@pytest.mark.parametrize(
    ("label", "why"),
    [
        (b"1e39", "1e+39 is beyond what a float32 holds"),
        (b"1e400", "inf is beyond what a float32 holds"),
        (b"-1" + b"0" * 40, "is beyond what a float32 holds"),
        (b"1" + b"0" * 5000, "out of range"),
        (b'"12"', "'12' is no number"),
        (b"true", "True is no number"),
        (b"null", "None is no number"),
        (b"[1]", "[1] is no number"),
    ],
)
def test_a_regression_takes_numbers_that_a_float32_holds(
    tmp_path: Path, label: bytes, why: str
) -> None:
    local = place(tmp_path, REGRESSION, sum_model())
    assert why in refusal(local, b'{"id": "r-1", "label": ' + label + b"}")
    assert local.ask("POST", FEEDBACK, b'{"id": "r-1", "label": 3.4e38}').status == 200
    assert labels(local) == ["3.4e38"]


def test_of_several_labels_the_one_at_fault_is_named_and_none_is_taken(tmp_path: Path) -> None:
    local = place(tmp_path, NUMBERED, sigmoid_model())
    many = [{"id": f"o-{n}", "label": n % 2} for n in range(1200)]
    many[700]["label"] = "maybe"
    words = refusal(local, {"labels": many})
    assert "the label of 'o-700': 'maybe' is none of the classes 0, 1; none of the 1,200" in words
    assert labels(local) == []
