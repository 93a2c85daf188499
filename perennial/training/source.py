"""The trained model as its own library has it, kept beside the graph that answers.

For warm starts, and for people who want the library's object: scikit-learn's in skops' format,
torch's weights as safetensors with a description as JSON. Neither is a pickle, and reading one runs
nothing that the file names: see `perennial.training.plain_skops` for what may be built.
"""

from __future__ import annotations

from typing import Any, cast

from perennial.errors import ModelError
from perennial.spec import EstimatorName
from perennial.training.estimator import FittedModel, load_estimator

FORMAT = 1


def dump_source(estimator: EstimatorName, model: FittedModel) -> tuple[str, bytes]:
    """Name and write the source of a model; the same model gives the same bytes."""
    return load_estimator(estimator).source_file, model.to_source()


def load_source(estimator: str, data: bytes) -> FittedModel:
    """Read what `dump_source` wrote for a model of this family.

    Raises:
        ModelError: it is damaged, of a format that is not known here, or holds anything else than
            what Perennial writes; nothing of such a file was run.
    """
    family = load_estimator(cast(EstimatorName, estimator))
    try:
        return family.from_source(data)
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        fault = " ".join(str(error).split())[:200]
        raise ModelError(f"the source model is not what {estimator} writes: {fault}") from error


def with_format(content: dict[str, Any]) -> dict[str, Any]:
    """Put the format's version beside a description."""
    return {"format": FORMAT, **content}


def without_format(content: dict[str, Any]) -> dict[str, Any]:
    """Take the format's version off a description.

    Raises:
        ModelError: it is not one that is read here.
    """
    rest = dict(content)
    found = rest.pop("format", None)
    if found != FORMAT:
        raise ModelError(
            f"the source model has format {found!r}, this Perennial reads {FORMAT}: load it with "
            "the release that made it"
        )
    return rest
