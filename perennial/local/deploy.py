"""Apply ``prefect.yaml`` to the running server, unless it was applied just so before."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from perennial.errors import StackError
from perennial.local import logs, prefect_api
from perennial.local.services import child_environment
from perennial.local.state import StackFiles
from perennial.settings import Settings, read_env_file

DECLARATION = "prefect.yaml"
SILENT_RUNS = "infra/prefect/silent-runs.json"
"""The automation by which a run of which nothing is heard becomes Crashed; heartbeats come every
30 s where PREFECT_FLOWS_HEARTBEAT_FREQUENCY says so."""
SHAPING_FILES = (
    DECLARATION,
    "flows/**/*.py",
    "perennial/spec/*.py",
    "perennial/backtest/policies.py",
    "tasks/compact.py",
    SILENT_RUNS,
)
"""What the deployments and the forms of their parameters are made from."""


class Deployed(BaseModel):
    """What was applied last, and to which work pool of which database."""

    model_config = ConfigDict(frozen=True)

    format: int = 1
    pool_id: str
    fingerprint: str


def fingerprint(project: Path) -> str:
    """Hash the names and contents of the files that shape the deployments."""
    digest = hashlib.sha256()
    for path in sorted({path for glob in SHAPING_FILES for path in project.glob(glob)}):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        digest.update(f"{path.relative_to(project)}\0{content}\n".encode())
    return digest.hexdigest()


def is_deployed(files: StackFiles, project: Path, pool_id: str) -> bool:
    """Tell whether these very deployments stand in this very database."""
    if not files.deployed.exists():
        return False
    stored = Deployed.model_validate_json(files.deployed.read_bytes())
    return stored == Deployed(pool_id=pool_id, fingerprint=fingerprint(project))


def deploy(files: StackFiles, project: Path, pool_id: str) -> None:
    """Run ``prefect deploy --all`` in the project, see to runs that fall silent, and remember it.

    Raises:
        StackError: there is no prefect.yaml, or Prefect refuses it.
    """
    if not (project / DECLARATION).exists():
        raise StackError(f"there is no {DECLARATION} in {project}: nothing can be deployed")
    environment = child_environment(files, read_env_file(files.environment))
    applied = Deployed(pool_id=pool_id, fingerprint=fingerprint(project))
    log = files.logs / "deploy.log"
    with log.open("wb") as sink:
        code = subprocess.run(
            [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"],
            cwd=project,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            check=False,
        ).returncode
    if code != 0:
        raise StackError(
            f"'prefect deploy --all' failed in {project} ({logs.tail(log)!r}): see {log}"
        )
    silent_runs = project / SILENT_RUNS
    if silent_runs.exists():
        wanted = json.loads(silent_runs.read_bytes())
        prefect_api.ensure_automation(str(Settings.from_env(environment).prefect_address), wanted)
    files.deployed.write_text(applied.model_dump_json() + "\n", encoding="utf-8")
