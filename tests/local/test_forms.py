from perennial.local.forms import is_offered, offer, pipeline_names, with_choice

PLAIN = {"properties": {"pipeline": {"type": "string"}, "why": {"type": "string"}}}
OR_ALL = {"properties": {"pipeline": {"anyOf": [{"type": "string"}, {"type": "null"}]}}}
NONE = {"properties": {"seconds": {"type": "number"}}}


def test_a_form_that_asks_for_a_pipeline_offers_the_names():
    chosen = with_choice(PLAIN, ["b", "a"])
    assert chosen["properties"]["pipeline"] == {"type": "string", "enum": ["a", "b"]}
    assert chosen["properties"]["why"] == {"type": "string"}
    some = with_choice(OR_ALL, ["a"])["properties"]["pipeline"]["anyOf"]
    assert some == [{"type": "string", "enum": ["a"]}, {"type": "null"}]
    assert with_choice(NONE, ["a"]) == {**NONE, "additionalProperties": False}


def test_names_are_added_unless_they_are_to_be_the_only_ones():
    one = with_choice(PLAIN, ["a"])
    assert with_choice(one, ["b"])["properties"]["pipeline"]["enum"] == ["a", "b"]
    assert with_choice(one, ["b"], only=True)["properties"]["pipeline"]["enum"] == ["b"]
    assert with_choice(one, [], only=True)["properties"] == PLAIN["properties"]
    assert is_offered(one, "a")
    assert not is_offered(one, "b")
    assert not is_offered(PLAIN, "a")


def test_only_forms_that_change_are_written():
    written = []
    deployments = [
        {"id": "1", "parameter_openapi_schema": PLAIN},
        {"id": "2", "parameter_openapi_schema": with_choice(PLAIN, ["a"])},
        {"id": "3", "parameter_openapi_schema": None},
    ]

    def call(method, path, body):
        if method == "POST":
            return deployments
        written.append((method, path, body["parameter_openapi_schema"]))
        return {}

    offer(call, ["a"])
    assert written == [("PATCH", "/deployments/1", with_choice(PLAIN, ["a"]))]


def test_pipelines_are_those_of_the_store_and_of_the_folders(store, tmp_path):
    for name, text in (("fit", "name: fit"), ("broken", "nme: broken"), ("alias", "name: other")):
        (tmp_path / name).mkdir()
        more = "\ntask: regression\nsource: {uri: d.csv}\ntarget: y\n"
        (tmp_path / name / "pipeline.yaml").write_text(text + more)
    (tmp_path / "No Name").mkdir()
    (tmp_path / "No Name" / "pipeline.yaml").touch()
    store.put("known/pipeline.json", b"{}")
    names = pipeline_names(store, [tmp_path, tmp_path / "nowhere"])
    # A run for a broken one says what is wrong with it.
    assert names == ["alias", "broken", "fit", "known"]
