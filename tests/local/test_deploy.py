"""When the deployments must be applied again."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from perennial.errors import StackError
from perennial.local import deploy as module
from perennial.local.deploy import SHAPING_FILES, Deployed, deploy, fingerprint, is_deployed
from perennial.local.state import StackFiles

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def project(tmp_path):
    project = tmp_path / "project"
    (project / "flows").mkdir(parents=True)
    (project / "prefect.yaml").write_text("deployments: []\n")
    (project / "flows" / "monitor.py").write_text("def monitor(): ...\n")
    (project / "README.md").write_text("hello\n")
    return project


@pytest.fixture
def files(tmp_path):
    files = StackFiles(tmp_path / "stack")
    files.make()
    return files


def test_the_files_that_shape_the_deployments_are_where_they_are_looked_for():
    assert [glob for glob in SHAPING_FILES if not list(ROOT.glob(glob))] == []


def test_what_shapes_the_deployments_changes_the_fingerprint(project):
    before = fingerprint(project)
    assert fingerprint(project) == before
    (project / "README.md").write_text("changed\n")
    assert fingerprint(project) == before
    (project / "flows" / "monitor.py").write_text("def monitor(pipeline: str): ...\n")
    after_flow = fingerprint(project)
    (project / "prefect.yaml").write_text("deployments: [{}]\n")
    after_yaml = fingerprint(project)
    (project / "flows" / "monitor.py").rename(project / "flows" / "watch.py")
    assert len({before, after_flow, after_yaml, fingerprint(project)}) == 4


def test_deployments_count_for_one_work_pool_only(project, files):
    assert not is_deployed(files, project, "pool-1")
    applied = Deployed(pool_id="pool-1", fingerprint=fingerprint(project))
    files.deployed.write_text(applied.model_dump_json())
    assert is_deployed(files, project, "pool-1")
    assert not is_deployed(files, project, "pool-2")


def test_a_project_without_a_declaration_is_refused(tmp_path, files):
    with pytest.raises(StackError, match=r"no prefect\.yaml"):
        deploy(files, tmp_path, "pool-1")


def test_what_prefect_refuses_is_said_and_not_remembered(project, files, monkeypatch):
    def refuse(command, *, stdout, **_):
        stdout.write(b"no such flow\n")
        return subprocess.CompletedProcess(command, 1)

    monkeypatch.setattr(module.subprocess, "run", refuse)
    with pytest.raises(StackError, match="no such flow"):
        deploy(files, project, "pool-1")
    assert not is_deployed(files, project, "pool-1")
