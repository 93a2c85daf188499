"""Files that know when they were altered, and are signed where keys are there."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from pydantic import create_model

from perennial.errors import ModelError
from perennial.registry import Manifest, find_refused, read_manifest, refuse, register
from perennial.registry.manifest import RefusedCandidate, parse_manifest
from perennial.store import Store, acquire_lease, layout
from perennial.store.lease import utc_now
from perennial.store.signing import Keys
from tests.registry.test_versions import manifest

MADE = manifest("0001-a").model_copy(
    update={"metrics": {"score": 0.1, "nothing": float("nan"), "text": "café"}}
)
WRITTEN = (MADE.model_dump_json(indent=2) + "\n").encode()


def test_it_is_read_as_it_was_written() -> None:
    read = parse_manifest(Manifest, WRITTEN, "here")
    assert read.model_dump_json() == MADE.model_dump_json()


@given(st.integers(0, len(WRITTEN) * 8 - 1))
def test_a_flipped_bit_is_found(place: int) -> None:
    data = bytearray(WRITTEN)
    data[place // 8] ^= 1 << place % 8
    try:
        read = parse_manifest(Manifest, bytes(data), "here")
    except ModelError:
        return
    # Between the tokens JSON knows bytes that mean nothing.
    assert json.loads(bytes(data)) == json.loads(WRITTEN)
    assert read.model_dump_json() == MADE.model_dump_json()


@pytest.mark.parametrize("number", [b"0", b"2"])
def test_one_of_another_format_is_refused_by_name(number: bytes) -> None:
    other = WRITTEN.replace(b'"format": 1', b'"format": ' + number)
    with pytest.raises(ModelError, match=f"format {number.decode()}, this release reads 1"):
        parse_manifest(Manifest, other, "here")


def test_one_without_a_digest_is_refused() -> None:
    content = json.loads(WRITTEN)
    del content["digest"]
    with pytest.raises(ModelError, match="altered or damaged"):
        parse_manifest(Manifest, json.dumps(content).encode(), "here")


def test_a_refused_candidate_is_sealed_too() -> None:
    until = datetime(2031, 1, 1, tzinfo=UTC)
    refused = RefusedCandidate(**dict(MADE), reason="worse", keep_until=until)
    data = refused.model_dump_json().encode()
    assert parse_manifest(RefusedCandidate, data, "here").reason == "worse"
    with pytest.raises(ModelError, match="altered or damaged"):
        parse_manifest(RefusedCandidate, data.replace(b"worse", b"WORSE"), "here")


@pytest.fixture
def keys() -> Keys:
    private = Ed25519PrivateKey.generate()
    return Keys(private, (private.public_key(),))


def test_what_is_signed_is_read_by_who_trusts_the_key(store: Store, keys: Keys) -> None:
    store.keys = keys
    register(store, acquire_lease(store, "p", "run"), manifest("0001-a"))
    assert read_manifest(store, "p", "0001-a").signature
    store.keys = Keys()
    assert read_manifest(store, "p", "0001-a").version == "0001-a"


def test_what_is_unsigned_or_signed_by_a_stranger_is_refused(store: Store, keys: Keys) -> None:
    register(store, acquire_lease(store, "p", "run"), manifest("0001-a"))
    store.keys = Keys(None, keys.trusted)
    with pytest.raises(ModelError, match="is not signed"):
        read_manifest(store, "p", "0001-a")
    stranger = Ed25519PrivateKey.generate()
    store.keys = Keys(stranger, (stranger.public_key(),))
    register(store, acquire_lease(store, "p", "run"), manifest("0002-b"))
    store.keys = Keys(None, keys.trusted)
    with pytest.raises(ModelError, match="not signed by a trusted key"):
        read_manifest(store, "p", "0002-b")


def test_one_that_was_altered_and_sealed_anew_is_refused(store: Store, keys: Keys) -> None:
    store.keys = keys
    register(store, acquire_lease(store, "p", "run"), manifest("0001-a"))
    signed = read_manifest(store, "p", "0001-a")
    store.put_json(layout.manifest("p", "0001-a"), signed.model_copy(update={"fence": 9}))
    with pytest.raises(ModelError, match="not signed by a trusted key"):
        read_manifest(store, "p", "0001-a")


def test_a_release_that_knows_more_fields_finds_the_signature_good(
    store: Store, keys: Keys
) -> None:
    store.keys = keys
    register(store, acquire_lease(store, "p", "run"), manifest("0001-a"))
    data = store.get(layout.manifest("p", "0001-a")).data
    later = create_model("Manifest", __base__=Manifest, note=(str | None, None))
    read = later.model_validate_json(data)
    keys.verify(read.content_sha256.encode(), read.signature, "it")
    altered = read.model_copy(update={"fence": 9})
    with pytest.raises(ModelError, match="not signed by a trusted key"):
        keys.verify(altered.content_sha256.encode(), altered.signature, "it")


def test_a_signed_refusal_is_no_signed_version(store: Store, keys: Keys) -> None:
    store.keys = keys
    lease = acquire_lease(store, "p", "run")
    told = {"reason": "worse", "keep_until": utc_now()}
    refuse(store, lease, RefusedCandidate(**dict(manifest("0001-a")), **told))
    store.put(layout.manifest("p", "0001-a"), store.get(layout.refused("p", "0001-a")).data)
    with pytest.raises(ModelError, match="not signed by a trusted key"):
        read_manifest(store, "p", "0001-a")


def test_one_that_was_put_in_anothers_place_is_refused(store: Store, keys: Keys) -> None:
    store.keys = keys
    register(store, acquire_lease(store, "p", "run"), manifest("0001-a"))
    data = store.get(layout.manifest("p", "0001-a")).data
    for pipeline, version in (("p", "0002-b"), ("q", "0001-a")):
        store.put(layout.manifest(pipeline, version), data)
        with pytest.raises(ModelError, match=f"version {version} of {pipeline}: what lies there"):
            read_manifest(store, pipeline, version)


def test_a_refusal_that_nobody_trusted_has_signed_is_not_read(store: Store, keys: Keys) -> None:
    lease = acquire_lease(store, "p", "run")
    told = {"reason": "worse", "keep_until": utc_now()}
    refuse(store, lease, RefusedCandidate(**dict(manifest("0001-a")), **told))
    store.keys = Keys(None, keys.trusted)
    with pytest.raises(ModelError, match="is not signed"):
        find_refused(store, "p", "0001-a")
