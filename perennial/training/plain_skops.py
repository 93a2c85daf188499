"""A fitted scikit-learn object in skops' format, and back without running what a file names.

skops rebuilds a tree of nodes, each of which names a type and the way it is built. Here a node must
be one of a fixed list; beyond that, skops' own audit applies. Its files number nodes by where they
lay in memory and are dated: ours are rewritten so that the same object gives the same bytes.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from typing import Any

from perennial.errors import ModelError

_SCHEMA = "schema.json"
_BEGINNING = (1980, 1, 1, 0, 0, 0)
"""The earliest moment that a zip archive can name."""
_BOOSTING = "sklearn.ensemble._hist_gradient_boosting"
_TREE = f"{_BOOSTING}.predictor.TreePredictor"
ALLOWED: dict[str, frozenset[str]] = {
    "DictNode": frozenset({"builtins.dict"}),
    "ListNode": frozenset({"builtins.list"}),
    "TupleNode": frozenset({"builtins.tuple"}),
    "JsonNode": frozenset({"builtins.str"}),
    "TypeNode": frozenset({"builtins.str"}),
    "NdArrayNode": frozenset(
        {"numpy.ndarray", "numpy.uint64", "numpy.int64", "numpy.float64", "numpy.float32"}
    ),
    "RandomGeneratorNode": frozenset({"numpy.random._generator.Generator"}),
    "LossNode": frozenset(
        f"sklearn._loss._loss.Cy{loss}"
        for loss in (
            "AbsoluteError",
            "HalfBinomialLoss",
            "HalfMultinomialLoss",
            "HalfSquaredError",
        )
    ),
    "ObjectNode": frozenset(
        {
            f"{_BOOSTING}.gradient_boosting.HistGradientBoostingClassifier",
            f"{_BOOSTING}.gradient_boosting.HistGradientBoostingRegressor",
            f"{_BOOSTING}.binning._BinMapper",
            _TREE,
            "sklearn._loss.link.IdentityLink",
            "sklearn._loss.link.Interval",
            "sklearn._loss.link.LogitLink",
            "sklearn._loss.link.MultinomialLogit",
            "sklearn._loss.loss.AbsoluteError",
            "sklearn._loss.loss.HalfBinomialLoss",
            "sklearn._loss.loss.HalfMultinomialLoss",
            "sklearn._loss.loss.HalfSquaredError",
            "sklearn.linear_model._logistic.LogisticRegression",
            "sklearn.linear_model._ridge.Ridge",
            "sklearn.preprocessing._label.LabelEncoder",
        }
    ),
}
"""The nodes that may be built: by the way they are built, their types."""


def dump_plain(content: dict[str, Any]) -> bytes:
    """Write a dict of plain values, arrays and fitted estimators; the same gives the same bytes."""
    import skops.io

    with zipfile.ZipFile(io.BytesIO(skops.io.dumps(content))) as archive:
        schema = json.loads(archive.read(_SCHEMA))
        names: dict[str, str] = {}
        for number, node in enumerate(_nodes(schema)):
            node["__id__"] = number
            if "file" in node:
                node["file"] = names.setdefault(node["file"], f"{len(names)}.npy")
        members = {new: archive.read(old) for old, new in names.items()}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in {**members, _SCHEMA: json.dumps(schema).encode()}.items():
            info = zipfile.ZipInfo(name, _BEGINNING)
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, data)
    return buffer.getvalue()


def load_plain(data: bytes) -> dict[str, Any]:
    """Read what `dump_plain` wrote.

    Raises:
        ModelError: the file is damaged, or names a type that is not among `ALLOWED`; then nothing
            of it was built.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            schema = json.loads(archive.read(_SCHEMA))
            strange = sorted({name for node in _nodes(schema) if (name := _strange(node))})
    except (zipfile.BadZipFile, KeyError, ValueError, RecursionError) as error:
        raise ModelError(f"the source model is no skops file: {error}") from None
    if strange:
        raise ModelError(
            f"the source model names {', '.join(strange)}: nothing but models that Perennial "
            "trains is loaded"
        )
    import skops.io

    try:
        content = skops.io.loads(data, trusted=[_TREE])
    # What skops raises on a damaged tree is whatever the type that it builds raises.
    except Exception as error:
        raise ModelError(f"the source model cannot be loaded: {error}") from error
    if not isinstance(content, dict):
        raise ModelError("the source model cannot be loaded: it is no dict")
    return content


def _nodes(value: Any) -> Iterator[dict[str, Any]]:
    """Every node of a schema, depth first."""
    if isinstance(value, dict):
        if "__loader__" in value or "__class__" in value:
            yield value
        for part in value.values():
            yield from _nodes(part)
    elif isinstance(value, list):
        for part in value:
            yield from _nodes(part)


def _strange(node: dict[str, Any]) -> str | None:
    """Name the type of a node that is not allowed."""
    kind = f"{node.get('__module__')}.{node.get('__class__')}"
    loader = node.get("__loader__")
    return None if isinstance(loader, str) and kind in ALLOWED.get(loader, ()) else kind
