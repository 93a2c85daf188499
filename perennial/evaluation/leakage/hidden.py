"""Parts of a column in which something may be hidden: words and numbers in text, digits."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from perennial.evaluation.leakage.identifiers import are_times
from perennial.evaluation.leakage.target import as_numbers

_FEW_LEVELS = 50
_MOSTLY = 0.95
_ENDS = 4
_PLACES = 16
_WORDS = 20
_RARE, _COMMON = 0.02, 0.98
_TOKEN = r"(?<![^\s=:;,|/])-?\d+(?:\.\d+)?|\d+(?:\.\d+)?|[^\W\d_]+"


def parts_of(feature: pd.Series) -> Iterator[tuple[str, pd.Series]]:
    """Yield (in words, column) for each part; of a column with few levels none is needed."""
    if pd.api.types.is_datetime64_any_dtype(feature):
        return
    numbers = as_numbers(feature)
    if numbers is not None:
        yield from _digits(pd.Series(numbers))
        return
    text = feature.astype("string").fillna("").reset_index(drop=True)
    if text.nunique() <= _FEW_LEVELS or are_times(feature.dropna().astype(str)):
        return
    numbers_in_text = _numbers(text)
    if numbers_in_text is not None:
        yield "the number in", numbers_in_text
    yield from _tokens(text)
    lengths = text.str.len()
    if lengths.nunique() == 1:
        for place in range(min(int(lengths.iloc[0]), _PLACES)):
            yield f"character {place + 1} of", text.str[place].astype(str)
    else:
        yield "the first character of", text.str[:1].astype(str)
        yield "the last character of", text.str[-1:].astype(str)
        yield "the length of", lengths.astype(float)


def _digits(values: pd.Series) -> Iterator[tuple[str, pd.Series]]:
    known = values.dropna()
    if len(known) < len(values) * _MOSTLY or known.nunique() <= _FEW_LEVELS:
        return
    if not bool((known == known.round()).all()) or known.abs().max() >= 2**53:
        return
    whole = values.abs()
    yield "the last digit of", whole % 10
    for digits in (2, 3, 4):
        yield f"the last {digits} digits of", whole % 10**digits
    size = 10.0 ** np.floor(np.log10(whole.clip(lower=1)))
    yield "the first digit of", whole // size


def _tokens(text: pd.Series) -> Iterator[tuple[str, pd.Series]]:
    found = text.str.findall(_TOKEN)
    counts = found.str.len()
    many = int(counts.median())
    if many > 1:
        for place in range(min(many, _ENDS)):
            yield f"part {place + 1} of", _as_column(found.str[place])
        if counts.nunique() > 1 or many > _ENDS:
            for place in range(1, min(many, _ENDS) + 1):
                yield f"part {place} from the end of", _as_column(found.str[-place])
    words = found.explode().value_counts()
    words = words[(words > _RARE * len(text)) & (words < _COMMON * len(text))]
    for word in words.index[:_WORDS] if counts.nunique() > 1 else ():
        yield f"the word {word!r} in", pd.Series([float(word in row) for row in found])


def _as_column(part: pd.Series) -> pd.Series:
    numbers = _numbers(part)
    return part.astype(object).where(part.notna(), "").astype(str) if numbers is None else numbers


def _numbers(text: pd.Series) -> pd.Series | None:
    numbers = pd.to_numeric(text, errors="coerce").astype(float)
    return numbers if numbers.notna().mean() >= _MOSTLY else None
