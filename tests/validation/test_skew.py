import numpy as np
import pandas as pd

from perennial.packaging.signature import Feature
from perennial.validation.skew import SkewVerdict, join
from perennial.validation.skew import compare as compare_joined

FEATURES = (Feature(name="x", kind="numeric"), Feature(name="c", kind="categorical"))


def compare(served, source, features, *, apart) -> SkewVerdict:
    return compare_joined(join(served, source, apart=apart), features)


def rows(n=50):
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "order": [f"o-{i}" for i in range(n)],
            "x": rng.normal(size=n),
            "c": rng.choice(["a", "b"], n),
            "y": rng.normal(size=n),
        }
    )


def served(source):
    return source.rename(columns={"order": "_id"})[["_id", "x", "c"]]


def test_rows_join_by_the_column_that_holds_the_ids():
    source = rows()
    verdict = compare(served(source).sample(frac=0.6, random_state=1), source, FEATURES, apart="y")
    assert (verdict.key, verdict.rows, verdict.skewed) == ("order", 30, False)


def test_float32_on_the_wire_is_no_skew():
    source = rows()
    wire = served(source).assign(x=source["x"].astype(np.float32).astype(float))
    assert not compare(wire, source, FEATURES, apart="y").skewed


def test_a_feature_that_is_computed_otherwise_is_named_with_an_example():
    source = rows()
    other = served(source).assign(x=source["x"] * 1.8)
    other.loc[:4, "c"] = None
    verdict = compare(other, source, FEATURES, apart="y")
    assert [(f.feature, f.share) for f in verdict.features] == [("x", 1.0), ("c", 0.1)]
    assert "served nothing, trained" in verdict.features[1].example


def test_numbered_ids_join_their_text():
    source = rows().assign(order=np.arange(1000, 1050))
    verdict = compare(
        served(source).assign(_id=lambda f: f["_id"].astype(str)), source, FEATURES, apart="y"
    )
    assert (verdict.key, verdict.rows) == ("order", 50)


def test_without_ids_in_the_source_nothing_is_said():
    source = rows()
    verdict = compare(served(source), source.drop(columns="order"), FEATURES, apart="y")
    assert (verdict.key, verdict.skewed) == (None, False)
    assert "nothing to compare" in str(verdict)
