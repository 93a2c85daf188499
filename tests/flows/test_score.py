import io

import numpy as np
import pyarrow.parquet as pq
import pytest
from prefect.client.orchestration import get_client

import tasks.score
from flows.score import score
from perennial.loop.versions import load_version
from perennial.packaging.predictor import RowEncoder
from perennial.registry import read_manifest, read_state
from perennial.scoring import ScoreManifest
from tests.flows.test_flows import run, trained
from tests.scoring.rows import expected, put, rows, scores
from tests.serving.serving_models import put_state, put_version, sum_model


def described(pipeline):
    with get_client(sync_client=True) as client:
        found = client.read_latest_artifacts()
        (artifact,) = [a for a in found if a.key == f"score-{pipeline}"]
        return artifact


def test_the_champions_answers_to_a_folder_lie_beside_a_manifest(connected):
    put_version(connected, "p", "0001", sum_model())
    put_state(connected, "p", "0001")
    for name in ("a", "b"):
        put(connected, f"in/{name}.parquet", rows(2500))
    state = run(score, pipeline="p", source="in", output="out", keep=["id"])
    assert state.name == "Scored"
    assert state.message.startswith("5000 rows by version 0001, 5000 of them in this run")
    assert scores(connected).column("row").to_pylist() == list(range(5000))
    manifest = ScoreManifest.model_validate_json(connected.get("out/_manifest.json").data)
    assert (manifest.version, manifest.rows) == ("0001", 5000)
    assert {part.key for part in manifest.parts} == {i.key for i in connected.scan("out/part-")}
    assert "| rows | 5000 |" in described("p").data


def test_a_run_that_failed_is_gone_on_with_by_its_version(connected, monkeypatch):
    put_version(connected, "p", "0001", sum_model())
    put_version(connected, "p", "0002", sum_model(100.0))
    put_state(connected, "p", "0001")
    for name in ("a", "b"):
        put(connected, f"in/{name}.parquet", rows(2500))

    class Dead(BaseException):
        pass

    def die(*_):
        raise Dead

    with monkeypatch.context() as patch:
        patch.setattr(tasks.score, "_tell", die)
        with pytest.raises(Dead):
            score(pipeline="p", source="in", output="out")
    assert len(list(connected.scan("out/part-"))) == 1
    put_state(connected, "p", "0002")
    state = run(score, pipeline="p", source="in", output="out")
    assert state.message.startswith("5000 rows by version 0001, 2500 of them in this run")
    assert float(np.max(scores(connected).column("prediction").to_numpy())) < 50
    again = run(score, pipeline="p", source="in", output="out")
    assert again.message.startswith("5000 rows by version 0001, 0 of them in this run")


@pytest.mark.usefixtures("connected")
def test_a_trained_version_scores_as_it_answers(connected, pipeline):
    trained(pipeline)
    table = rows(500).rename_columns(["id", "x", "c", "z"])
    put(connected, "in/a.parquet", table)
    source = f"s3://{connected.bucket}/in/a.parquet"
    assert run(score, pipeline="line", source=source, output="out").name == "Scored"
    champion = read_state(connected, "line").state.champion
    predictor = load_version(connected, read_manifest(connected, "line", champion))
    encoded = RowEncoder(predictor.signature).encode(table.select(["x", "c"]).to_pylist())
    assert (
        scores(connected).column("prediction").to_numpy().tobytes()
        == predictor.predict(*encoded.inputs())[:, 0].tobytes()
    )
    part = pq.read_schema(io.BytesIO(connected.get("out/part-000000.parquet").data))
    assert part.metadata[b"perennial.version"].decode() == champion


def test_csvs_are_scored_as_parquet_is(connected, tmp_path):
    put_version(connected, "p", "0001", sum_model())
    put_state(connected, "p", "0001")
    for name, seed in (("a.csv", 1), ("b.csv.gz", 2)):
        rows(1500, seed=seed).to_pandas().to_csv(tmp_path / name, index=False)
        connected.put(f"in/{name}", (tmp_path / name).read_bytes())
    put(connected, "in/c.parquet", rows(500, seed=3))
    state = run(score, pipeline="p", source="in", output="out", keep=["id"])
    assert state.message.startswith("3500 rows by version 0001")
    found = scores(connected)
    wanted = [expected(rows(count, seed=n)) for n, count in ((1, 1500), (2, 1500), (3, 500))]
    np.testing.assert_allclose(
        found.column("prediction").to_numpy(), np.concatenate(wanted), rtol=1e-5, atol=1e-5
    )
    assert found.column("id").to_pylist()[:2] == ["i0", "i1"]


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"source": "nowhere"}, "no file ending in .csv, .csv.gz or .parquet in this folder"),
        ({"source": "file:///etc/rows.parquet"}, "write s3://bucket/key, or a key in the bucket"),
        ({"output": "in/scores"}, "lies inside the input"),
        ({"version": "0009"}, "p has no version '0009'; 'perennial versions p' names them"),
        ({"pipeline": "q"}, "q has no champion yet: train one, or name a version"),
        ({"keep": ["nothing"]}, "in/a.parquet lacks the column nothing; it has id, x, city, z"),
    ],
)
def test_what_cannot_be_scored_fails_in_one_line(connected, parameters, message):
    put_version(connected, "p", "0001", sum_model())
    put_state(connected, "p", "0001")
    put(connected, "in/a.parquet", rows(10))
    state = run(score, **{"pipeline": "p", "source": "in", "output": "out", **parameters})
    assert state.type.value == "FAILED"
    assert message in state.message
    assert "\n" not in state.message
    assert list(connected.scan("out/")) == []
