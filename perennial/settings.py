"""Where the parts are: from the environment, else from the stack that ``perennial up`` started.

====================== =====================================================================
PERENNIAL_S3_ENDPOINT  the S3 server; empty for AWS itself
PERENNIAL_BUCKET       the one bucket everything lies in
AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION   as everywhere
PERENNIAL_SERVER_URL   the inference server
PREFECT_API_URL        the Prefect server
PREFECT_API_AUTH_STRING   what it asks for, where it does: user:password
PERENNIAL_PIPELINES    folders in which a pipeline is looked for by name, joined by ':'; left out:
                       data in the current folder, then data beside the code
PERENNIAL_TRUSTED_FOLDERS   folders, joined by ':', below which a pipeline.yaml is read also where
                       only the store says where it lies; left out: only those above
PERENNIAL_NOTIFY       who is told of drifts, held data, promotions, rollbacks, failed retrains:
                       Apprise addresses (mailto://..., slack://...), joined by spaces
PERENNIAL_SIGNING_KEY  file of the private key with which flows sign versions (Ed25519, PEM)
PERENNIAL_TRUSTED_KEYS files of public keys, joined by ':'; with one, whatever reads a version
                       refuses what none of them signed
====================== =====================================================================

In the place of a secret its name with ``_FILE`` may stand, which names a file that holds it:
AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, PERENNIAL_NOTIFY.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from perennial.errors import StackError

ENV_FILE = "stack.env"
_FILE = "_FILE"
_SECRETS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "PERENNIAL_NOTIFY")
DEFAULT_DIR = Path(".perennial")
CODE = Path(__file__).resolve().parents[1]
"""The folder that holds flows, tasks and the examples' ``data``."""


@dataclass(frozen=True)
class Settings:
    """Addresses and keys of one deployment of Perennial."""

    bucket: str
    s3_endpoint: str | None
    access_key: str | None = field(default=None, repr=False)
    secret_key: str | None = field(default=None, repr=False)
    region: str = "us-east-1"
    server_url: str | None = None
    prefect_api_url: str | None = None
    prefect_auth: str | None = field(default=None, repr=False)
    pipeline_folders: tuple[Path, ...] = ()
    """Where a pipeline is looked for by name, the first folder first."""
    trusted_folders: tuple[Path, ...] = ()
    """Below these, a folder that the store names is read too."""
    notify: tuple[str, ...] = field(default=(), repr=False)
    signing_key: Path | None = None
    trusted_keys: tuple[Path, ...] = ()

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Settings:
        """Read the variables above.

        Raises:
            StackError: neither an S3 endpoint nor a bucket is named, or a secret's file cannot be
                read.
        """
        environ = with_files(environ)
        if "PERENNIAL_S3_ENDPOINT" not in environ and "PERENNIAL_BUCKET" not in environ:
            raise StackError(
                "no store is configured and no stack is up: run 'perennial up', "
                "or set PERENNIAL_S3_ENDPOINT and PERENNIAL_BUCKET"
            )
        return cls(
            bucket=environ.get("PERENNIAL_BUCKET", "perennial"),
            s3_endpoint=environ.get("PERENNIAL_S3_ENDPOINT") or None,
            access_key=environ.get("AWS_ACCESS_KEY_ID"),
            secret_key=environ.get("AWS_SECRET_ACCESS_KEY"),
            region=environ.get("AWS_REGION", "us-east-1"),
            server_url=environ.get("PERENNIAL_SERVER_URL"),
            prefect_api_url=environ.get("PREFECT_API_URL"),
            prefect_auth=environ.get("PREFECT_API_AUTH_STRING") or None,
            pipeline_folders=pipeline_folders(environ),
            trusted_folders=trusted_folders(environ),
            notify=tuple(environ.get("PERENNIAL_NOTIFY", "").split()),
            signing_key=Path(key) if (key := environ.get("PERENNIAL_SIGNING_KEY")) else None,
            trusted_keys=tuple(
                Path(p) for p in environ.get("PERENNIAL_TRUSTED_KEYS", "").split(":") if p
            ),
        )

    @property
    def prefect_address(self) -> str | None:
        """Prefect's API with what it asks for inside, as httpx takes it; not to be shown."""
        if self.prefect_api_url is None or self.prefect_auth is None:
            return self.prefect_api_url
        user, _, password = self.prefect_auth.partition(":")
        scheme, _, rest = self.prefect_api_url.partition("://")
        return f"{scheme}://{quote(user, safe='')}:{quote(password, safe='')}@{rest}"

    @classmethod
    def load(cls, directory: Path = DEFAULT_DIR) -> Settings:
        """Read the environment; what it leaves out comes from ``directory``'s running stack."""
        return cls.from_env({**read_env_file(directory / ENV_FILE), **os.environ})


def pipeline_folders(
    environ: Mapping[str, str], *, here: Path | None = None, code: Path = CODE
) -> tuple[Path, ...]:
    """Say in which folders ``NAME/pipeline.yaml`` is looked for, whether or not they are there yet.

    Args:
        here: the current folder; None: this process's.
        code: the folder whose ``data`` comes last.

    Returns:
        Absolute paths, each once: PERENNIAL_PIPELINES if it is set, else ``data`` of both folders.
    """
    here = Path.cwd() if here is None else here
    named = [Path(p) for p in environ.get("PERENNIAL_PIPELINES", "").split(os.pathsep) if p]
    chosen = named or [Path("data"), code / "data"]
    return tuple(dict.fromkeys((here / path).resolve() for path in chosen))


def trusted_folders(environ: Mapping[str, str]) -> tuple[Path, ...]:
    """Say below which further folders a pipeline.yaml is read that only the store tells of."""
    named = environ.get("PERENNIAL_TRUSTED_FOLDERS", "").split(os.pathsep)
    return tuple(Path(path) for path in named if path)


def local_folders(directory: Path = DEFAULT_DIR) -> tuple[Path, ...]:
    """The same for a command beside ``directory``'s stack, if one is up: what that sees."""
    return pipeline_folders(_local_environment(directory))


def local_trusted(directory: Path = DEFAULT_DIR) -> tuple[Path, ...]:
    """Folders below which such a command reads a pipeline.yaml that the store tells of."""
    environ = _local_environment(directory)
    return (*pipeline_folders(environ), *trusted_folders(environ))


def _local_environment(directory: Path) -> dict[str, str]:
    return {**read_env_file(directory / ENV_FILE), **os.environ}


def with_files(environ: Mapping[str, str]) -> dict[str, str]:
    """Fill in secrets of which only the file is named.

    Raises:
        StackError: a file cannot be read.
    """
    filled = dict(environ)
    for name in _SECRETS:
        file = environ.get(name + _FILE)
        if file and not environ.get(name):
            try:
                filled[name] = Path(file).read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                raise StackError(f"{name}{_FILE}: {file} cannot be read: {error}") from None
    return filled


def read_env_file(path: Path) -> dict[str, str]:
    """Read ``KEY=value`` lines; an absent file is empty.

    Raises:
        StackError: it is there and cannot be read: another user's stack.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise StackError(f"{path} cannot be read: {error.strerror}") from None
    pairs = (line.partition("=") for line in lines if line and not line.startswith("#"))
    return {key: value for key, _, value in pairs}
