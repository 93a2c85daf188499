"""Keys come from PEM files; a file that is none is told."""

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from perennial.errors import ModelError, StackError
from perennial.settings import Settings
from perennial.store import open_store
from perennial.store.signing import load_keys


def pem(key):
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def test_a_store_signs_and_verifies_by_the_keys_of_its_settings(tmp_path):
    (tmp_path / "key.pem").write_bytes(pem(ed25519.Ed25519PrivateKey.generate()))
    environ = {"PERENNIAL_BUCKET": "b", "PERENNIAL_SIGNING_KEY": str(tmp_path / "key.pem")}
    keys = open_store(
        Settings.from_env({**environ, "AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s"})
    ).keys
    signature = keys.sign(b"content")
    keys.verify(b"content", signature, "it")
    with pytest.raises(ModelError, match="it is not signed by a trusted key"):
        keys.verify(b"other", signature, "it")
    with pytest.raises(ModelError):
        keys.verify(b"content", "no base64!", "it")


def test_files_that_hold_no_such_key_are_told(tmp_path):
    with pytest.raises(StackError, match="cannot be read"):
        load_keys(tmp_path / "absent.pem", ())
    (tmp_path / "text.pem").write_text("hello")
    with pytest.raises(StackError, match="cannot be read"):
        load_keys(None, (tmp_path / "text.pem",))
    (tmp_path / "curve.pem").write_bytes(pem(ec.generate_private_key(ec.SECP256R1())))
    with pytest.raises(StackError, match="an Ed25519 key is expected"):
        load_keys(tmp_path / "curve.pem", ())
