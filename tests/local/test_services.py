"""What children are told of secrets, and how."""

from __future__ import annotations

import base64
import stat

import httpx

from perennial.local.services import plan
from perennial.local.state import StackFiles


def planned(directory, **options):
    files = StackFiles(directory)
    files.make()
    found = plan(files, directory, "fork", "an id", **options)
    found.claims.release()
    return files, found, {service.name: service for service in found.services}


def test_a_password_is_made_once_and_reaches_server_and_clients_by_the_environment(tmp_path):
    files, found, services = planned(tmp_path / "s")
    auth = files.prefect_auth.read_text().strip()
    assert len(auth.partition(":")[2]) > 20
    assert stat.S_IMODE(files.prefect_auth.stat().st_mode) == 0o600
    assert files.ensure_prefect_auth() == auth
    assert services["prefect"].environment["PREFECT_SERVER_API_AUTH_STRING"] == auth
    for name in ("worker", "alerts"):
        assert services[name].environment["PREFECT_API_AUTH_STRING"] == auth
    assert found.environment["PREFECT_API_AUTH_STRING"] == auth
    secrets = [auth.partition(":")[2], found.settings.secret_key]
    secrets.append(files.alerts_token.read_text().strip())
    lines = [" ".join(service.command) for service in found.services]
    assert not [line for line in lines for secret in secrets if secret in line]


def test_runs_look_for_pipelines_where_up_was_called_or_where_the_caller_says(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    _, found, services = planned(tmp_path / "s")
    wanted = f"{tmp_path}/data:{tmp_path}/s/data"
    assert found.environment["PERENNIAL_PIPELINES"] == wanted
    monkeypatch.setenv("PERENNIAL_PIPELINES", "mine")
    _, found, services = planned(tmp_path / "s")
    assert services["worker"].environment["PERENNIAL_PIPELINES"] == f"{tmp_path}/mine"
    assert found.settings.pipeline_folders == (tmp_path / "mine",)
    # Demos lie in the stack's folder.
    assert services["worker"].environment["PERENNIAL_TRUSTED_FOLDERS"] == str(tmp_path)


def test_where_none_is_wanted_prefect_asks_for_nothing_whatever_the_caller_has(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", "me:elsewhere")
    monkeypatch.setenv("PREFECT_SERVER_API_AUTH_STRING", "me:elsewhere")
    _, found, services = planned(tmp_path / "s", auth=False)
    for service in services.values():
        assert not [name for name in service.environment if "AUTH_STRING" in name]
    assert found.settings.prefect_address == found.settings.prefect_api_url


def test_the_address_is_understood_by_the_client_that_the_stack_uses(tmp_path):
    files, found, _ = planned(tmp_path / "s")
    seen = []

    def answer(request):
        seen.append(request)
        return httpx.Response(200)

    address = str(found.settings.prefect_address)
    with httpx.Client(base_url=address, transport=httpx.MockTransport(answer)) as client:
        client.get("/work_pools/perennial")
    sent = base64.b64decode(seen[0].headers["Authorization"].removeprefix("Basic "))
    assert sent.decode() == files.ensure_prefect_auth()
