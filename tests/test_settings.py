import pytest

from perennial.errors import StackError
from perennial.settings import Settings, pipeline_folders

PLACE = {"PERENNIAL_BUCKET": "b", "PREFECT_API_URL": "http://localhost:4200/api"}


def test_a_secret_may_stand_in_a_file(tmp_path):
    key, notify = tmp_path / "key", tmp_path / "notify"
    key.write_text("s3cret\n")
    notify.write_text("json://a json://b\n")
    environ = {"AWS_SECRET_ACCESS_KEY_FILE": str(key), "PERENNIAL_NOTIFY_FILE": str(notify)}
    found = Settings.from_env({**PLACE, **environ})
    assert (found.secret_key, found.notify) == ("s3cret", ("json://a", "json://b"))
    assert Settings.from_env({**PLACE, **environ, "AWS_SECRET_ACCESS_KEY": "k"}).secret_key == "k"
    with pytest.raises(StackError, match=r"AWS_SECRET_ACCESS_KEY_FILE: .* cannot be read"):
        Settings.from_env({**PLACE, "AWS_SECRET_ACCESS_KEY_FILE": str(tmp_path / "nothing")})


def test_pipelines_are_looked_for_where_one_stands_then_beside_the_code(tmp_path):
    here, code = tmp_path / "here", tmp_path / "code"
    assert pipeline_folders({}, here=here, code=code) == (here / "data", code / "data")
    assert pipeline_folders({}, here=code, code=code) == (code / "data",)
    named = {"PERENNIAL_PIPELINES": f"mine:{tmp_path}/all"}
    assert pipeline_folders(named, here=here, code=code) == (here / "mine", tmp_path / "all")


def test_settings_do_not_show_their_secrets():
    secrets = {
        "AWS_ACCESS_KEY_ID": "i-d",
        "AWS_SECRET_ACCESS_KEY": "k-e-y",
        "PREFECT_API_AUTH_STRING": "me:p-a-s-s",
        "PERENNIAL_NOTIFY": "json://t-o-k",
    }
    shown = repr(Settings.from_env({**PLACE, **secrets}))
    assert not [value for value in secrets.values() if value in shown]


def test_the_password_of_prefect_stands_in_its_address_as_a_url_takes_it():
    auth = {"PREFECT_API_AUTH_STRING": "me:a/b@c:d"}
    found = Settings.from_env({**PLACE, **auth}).prefect_address
    assert found == "http://me:a%2Fb%40c%3Ad@localhost:4200/api"
    assert Settings.from_env(PLACE).prefect_address == PLACE["PREFECT_API_URL"]
