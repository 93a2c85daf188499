"""What runs Perennial elsewhere is well-formed, names what there is, and holds no secret."""

from __future__ import annotations

import fnmatch
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from typer.main import get_command

from perennial.cli import app

PROJECT = Path(__file__).parents[1]
INFRA = PROJECT / "infra"
UNITS = sorted((INFRA / "systemd").glob("*.service"))
COMPOSE = INFRA / "compose" / "compose.yaml"
MANIFESTS = INFRA / "kubernetes" / "perennial.yaml"
SECRETS = ("AUTH_STRING", "SECRET", "TOKENS", "ACCESS_KEY", "NOTIFY")


def manifests():
    return [*yaml.safe_load_all(MANIFESTS.read_text())]


def pods():
    return [
        (found["metadata"]["name"], found["spec"]["template"]["spec"])
        for found in manifests()
        if "template" in found["spec"]
    ]


def commands():
    """Every command line that starts a part."""
    for unit in UNITS:
        yield re.search(r"^ExecStart=(.*)$", unit.read_text(), re.MULTILINE)[1]
    for part in yaml.safe_load(COMPOSE.read_text())["services"].values():
        if "command" in part:
            yield part["command"]
    for _, pod in pods():
        yield " ".join(pod["containers"][0]["command"])


def test_commands_are_those_that_there_are_and_hold_no_secret():
    known = get_command(app).commands
    started = [name for line in commands() for name in re.findall(r"perennial (\w+) --", line)]
    assert {"serve", "alerts"} <= set(started) <= set(known)
    for line in commands():
        assert not re.search(r"(?i)password=|token=|secret=", line)
        for option in re.findall(r"perennial (\w+) (.*)", line):
            wanted = set(re.findall(r"--\w+", option[1]))
            taken = {o for p in known[option[0]].params for o in p.opts}
            assert wanted <= taken


def test_the_three_ways_run_the_same_parts():
    parts = {"prefect", "worker", "serving", "alerts"}
    assert {unit.stem.removeprefix("perennial-") for unit in UNITS} == parts
    services = yaml.safe_load(COMPOSE.read_text())["services"]
    assert set(services) == parts | {"database", "deploy"}
    assert {name for name, _ in pods()} == parts | {"deploy"}


def test_examples_of_variables_name_secrets_and_hold_none():
    for file in (INFRA / "systemd" / "perennial.env", INFRA / "compose" / "perennial.env.example"):
        pairs = dict(line.split("=", 1) for line in file.read_text().splitlines() if line[0] != "#")
        assert {"PREFECT_API_AUTH_STRING", "AWS_SECRET_ACCESS_KEY"} <= set(pairs)
        for name, value in pairs.items():
            if any(word in name for word in SECRETS):
                assert not value, name
        assert pairs["PERENNIAL_WORK_POOL"] == "perennial"


def test_pods_are_nobodys_root_and_find_each_other():
    services = {found["metadata"]["name"] for found in manifests() if found["kind"] == "Service"}
    assert services == {"prefect", "serving", "alerts"}
    for name, pod in pods():
        assert pod["securityContext"]["runAsNonRoot"], name
        assert pod["enableServiceLinks"] is False
        mounted = {m["name"] for m in pod["containers"][0].get("volumeMounts", [])}
        claimed = {v["name"] for v in pod.get("volumes", [])}
        assert mounted == claimed or name == "serving"


def goes_into_the_image(file):
    """As docker reads .dockerignore, whose last pattern that fits counts."""
    goes = True
    for line in (PROJECT / ".dockerignore").read_text().splitlines():
        if line.startswith("#"):
            continue
        pattern = line.removeprefix("!")
        fits = [
            fnmatch.fnmatch(path, pattern)
            or (pattern.startswith("**/") and fnmatch.fnmatch(Path(path).name, pattern[3:]))
            for path in (file, *map(str, Path(file).parents))
        ]
        if any(fits):
            goes = line.startswith("!")
    return goes


def test_an_image_holds_what_it_runs_and_no_secret():
    needed = ("perennial/cli/__init__.py", "flows/retrain.py", "tasks/look.py", "worker/warm.py")
    needed += ("pyproject.toml", "constraints.txt", "prefect.yaml", "README.md", "LICENSE")
    needed += ("data/bike/pipeline.yaml",)
    for file in needed:
        assert (PROJECT / file).is_file()
        assert goes_into_the_image(file), file
    secrets = ("perennial.env", "alerts.token", "database.password")
    secrets = [f"infra/compose/{name}" for name in secrets]
    secrets += ["signing.pem", "data/signing.pem", ".perennial/store.keys", "data/bike/.env"]
    for file in secrets:
        assert not goes_into_the_image(file), file
    if shutil.which("git") and (PROJECT / ".git").exists():
        ignored = subprocess.run(
            ["git", "check-ignore", *secrets],
            cwd=PROJECT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ignored.stdout.split() == secrets


def test_pods_may_do_no_more_than_they_need():
    for name, pod in pods():
        assert pod["automountServiceAccountToken"] is False, name
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
            }
    (policy,) = (found for found in manifests() if found["kind"] == "NetworkPolicy")
    assert policy["spec"]["podSelector"]["matchLabels"] == {"app": "prefect"}
    (rule,) = policy["spec"]["ingress"]
    (asked,) = rule["from"][0]["podSelector"]["matchExpressions"]
    labels = {
        name: found["spec"]["template"]["metadata"]["labels"]["app"]
        for found in manifests()
        if "template" in found["spec"]
        for name in [found["metadata"]["name"]]
    }
    assert {labels[name] for name in ("worker", "deploy", "alerts")} == set(asked["values"])
    for part in yaml.safe_load(COMPOSE.read_text())["services"].values():
        if part.get("image") == "perennial":
            assert part["cap_drop"] == ["ALL"]


@pytest.mark.parametrize("value", ["", None])
def test_prefect_does_not_start_beyond_loopback_without_its_password(value):
    compose = yaml.safe_load(COMPOSE.read_text())["services"]["prefect"]["command"]
    (pod,) = (pod for name, pod in pods() if name == "prefect")
    in_compose = shlex.split(compose.replace("$$", "$"))
    for command in (in_compose, pod["containers"][0]["command"]):
        variables = {} if value is None else {"PREFECT_SERVER_API_AUTH_STRING": value}
        done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
        assert done.returncode != 0
        assert "PREFECT_SERVER_API_AUTH_STRING: set it in" in done.stderr


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_systemd_accepts_the_units(unit, tmp_path):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    for other in UNITS:  # where the programs are is the machine's matter
        text = re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", other.read_text(), flags=re.M)
        (tmp_path / other.name).write_text(text.replace("User=perennial", "User=root"))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(tmp_path / unit.name)],
        capture_output=True,
        text=True,
        check=False,
    )
    said = [line for line in done.stderr.splitlines() if unit.name in line]
    assert done.returncode == 0, done.stderr
    assert not said


def test_the_runbook_has_a_section_for_each_alert_and_no_other():
    groups = yaml.safe_load((INFRA / "prometheus" / "rules.yml").read_text())["groups"]
    alerts = [rule["alert"] for group in groups for rule in group["rules"]]
    text = (PROJECT / "docs" / "runbook.md").read_text()
    assert re.findall(r"^## (\w+)$", text, re.MULTILINE) == alerts


def test_the_documentation_names_files_that_there_are():
    for page in (PROJECT / "docs").glob("*.md"):
        text = page.read_text()
        for link in re.findall(r"\]\((?!http)([^)#]+)", text):
            assert (page.parent / link).exists(), f"{page.name}: {link}"
        paths = r"`((?:perennial|tasks|tests|infra|flows)/[\w/.-]+)`"
        for path in re.findall(paths, text):
            assert (PROJECT / path).exists() or "NAME" in path, f"{page.name}: {path}"
