"""Which declaration is in force."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from perennial.datasets.source import read_source
from perennial.errors import Damaged, ModelError, SourceError, SpecError
from perennial.registry import (
    Declaration,
    check_known,
    declare,
    find_declaration,
    in_sight,
    known_pipelines,
    resolve,
)
from perennial.spec import PipelineSpec, Source
from perennial.store import layout
from perennial.store.signing import Keys


def declared(home, name, *, target="y", called=None):
    folder = home / name
    folder.mkdir(parents=True)
    (folder / "pipeline.yaml").write_text(
        f"name: {called or name}\ntask: regression\nsource: {{uri: d.csv}}\ntarget: {target}\n"
    )
    return folder


def test_what_a_folder_in_sight_says_wins_over_the_stores_copy(store, tmp_path):
    declare(store, declared(tmp_path / "demo", "shop", target="old"), demo=True)
    mine = declared(tmp_path / "data", "shop", target="new")
    found = resolve(store, "shop", [tmp_path / "data"])
    assert (found.spec.target, found.demo, found.path) == ("new", False, mine)
    kept = find_declaration(store, "shop")
    assert (kept.spec, kept.folder, kept.demo) == (found.spec, str(mine), False)


def test_an_edit_takes_from_the_next_run(store, tmp_path):
    folder = declared(tmp_path, "shop")
    resolve(store, "shop", [tmp_path])
    file = folder / "pipeline.yaml"
    file.write_text(file.read_text() + "monitor: {schedule: '7 3 * * *'}\n")
    assert resolve(store, "shop", [tmp_path]).spec.monitor.schedule == "7 3 * * *"
    # Also where the folder is none of those in which names are looked up, but lies below one that
    # is trusted.
    file.write_text(file.read_text().replace("7 3", "8 4"))
    assert resolve(store, "shop", [], [tmp_path]).spec.monitor.schedule == "8 4 * * *"
    file.write_text(file.read_text().replace("8 4", "9 5"))
    assert resolve(store, "shop", [], [tmp_path / "other"]).spec.monitor.schedule == "8 4 * * *"


def test_a_declaration_in_the_store_names_no_script_file_or_folder_that_is_used(store, tmp_path):
    folder, ran = tmp_path / "any", tmp_path / "ran"
    folder.mkdir()
    script = tmp_path / "script.py"
    script.write_text(f"open({str(ran)!r}, 'w')")
    (tmp_path / "private.csv").write_text("x,y\n1,2\n")
    for uri in ("none.csv", str(tmp_path / "private.csv")):
        source = Source(uri=uri, made_by=str(script))
        spec = PipelineSpec(name="shop", task="regression", target="y", source=source)
        store.put_json(
            layout.declaration("shop"), Declaration(spec=spec, folder=str(folder.resolve()))
        )
        found = resolve(store, "shop", [tmp_path / "data"], [tmp_path])
        assert found.path is None
        with pytest.raises(SourceError, match="is not in sight here"):
            read_source(found.spec, found.path)
    assert not ran.exists()


def test_a_folder_that_the_store_names_declares_the_same_pipeline(store, tmp_path):
    other = declared(tmp_path, "other")
    spec = declare(store, declared(tmp_path, "shop")).spec
    store.put_json(layout.declaration("shop"), Declaration(spec=spec, folder=str(other)))
    assert resolve(store, "shop", [], [tmp_path]).path is None
    store.put(layout.declaration("bike"), store.get(layout.declaration("shop")).data)
    with pytest.raises(Damaged, match="another pipeline, 'shop'"):
        resolve(store, "bike", [])


def test_where_no_folder_is_in_sight_the_store_has_the_copy(store, tmp_path):
    folder = declared(tmp_path / "away", "shop")
    declare(store, folder)
    (folder / "pipeline.yaml").unlink()
    folder.rmdir()
    assert resolve(store, "shop", [tmp_path / "data"]).spec.name == "shop"


def test_with_keys_the_stores_copy_counts_only_where_one_signed_it(store, tmp_path):
    private = Ed25519PrivateKey.generate()
    keys = Keys(private, (private.public_key(),))
    folder = declared(tmp_path / "away", "shop")
    declare(store, folder)
    store.keys = Keys(None, keys.trusted)
    with pytest.raises(ModelError, match="the declaration of shop is not signed"):
        resolve(store, "shop", [])
    store.keys = keys
    declare(store, folder)
    signed = store.get(layout.declaration("shop"))
    store.keys = Keys(None, keys.trusted)
    assert resolve(store, "shop", []).spec.name == "shop"
    # Who has no key leaves a signed copy as it is.
    declare(store, folder)
    assert store.get(layout.declaration("shop")).etag == signed.etag
    altered = find_declaration(store, "shop").model_copy(update={"demo": True})
    store.put_json(layout.declaration("shop"), altered)
    with pytest.raises(ModelError, match="not signed by a trusted key"):
        resolve(store, "shop", [])


def test_of_two_folders_the_first_one_counts_and_both_are_named(store, tmp_path):
    mine = declared(tmp_path / "mine", "shop", target="mine")
    other = declared(tmp_path / "other", "shop", target="other")
    folders = [tmp_path / "mine", tmp_path / "other", tmp_path / "none"]
    assert resolve(store, "shop", folders).spec.target == "mine"
    assert in_sight(folders) == {"shop": [mine, other]}


def test_a_copied_folder_that_still_names_the_first_is_told_of(store, tmp_path):
    declared(tmp_path, "shop")
    declared(tmp_path, "shop2", called="shop")
    with pytest.raises(SpecError, match=r"name: 'shop' stood there; .* write name: shop2, or"):
        resolve(store, "shop2", [tmp_path])


def test_demos_and_what_is_no_pipeline_are_passed_over_and_a_broken_one_is_not(store, tmp_path):
    declare(store, declared(tmp_path, "shop"))
    declare(store, declared(tmp_path / "demo", "shop-demo"), demo=True)
    store.put(layout.declaration("broken"), b"{}")
    store.put("other/file", b"")
    assert known_pipelines(store) == ["broken", "shop"]
    assert known_pipelines(store, demos=True) == ["broken", "shop", "shop-demo"]


def test_an_unknown_name_is_told_with_those_that_there_are_and_the_likely_one():
    check_known("shop", ["bike", "shop"])
    with pytest.raises(SpecError) as caught:
        check_known("shp", ["shop", "bike"])
    assert str(caught.value) == (
        "there is no pipeline 'shp'; there are bike, shop (did you mean 'shop'?)"
    )
    with pytest.raises(SpecError, match="none is declared yet"):
        check_known("shp", [])
