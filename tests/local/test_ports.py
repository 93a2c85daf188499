"""Ports: preferred where free, else another, and never the same for two."""

from __future__ import annotations

import socket
import sys

import pytest

from perennial.local.ports import PortClaims, is_free


@pytest.fixture
def taken():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


def choose_ports(preferred):
    claims = PortClaims(preferred)
    claims.release()
    return claims.ports


def test_a_preferred_port_is_used_while_it_is_free():
    port = choose_ports({"a": 0})["a"]
    assert is_free(port)
    assert choose_ports({"a": port}) == {"a": port}


def test_a_taken_port_is_replaced(taken):
    assert not is_free(taken)
    chosen = choose_ports({"a": taken})["a"]
    assert chosen != taken
    assert is_free(chosen)


def test_no_two_names_get_the_same_port():
    free = choose_ports({"a": 0})["a"]
    chosen = choose_ports({"a": free, "b": free, **dict.fromkeys("cdefgh", 0)})
    assert len(set(chosen.values())) == len(chosen)


@pytest.mark.skipif(sys.platform != "linux", reason="claims are Linux's abstract sockets")
def test_a_claimed_port_goes_to_nobody_else_until_it_is_released():
    free = choose_ports({"a": 0})["a"]
    claims = PortClaims({"a": free})
    assert claims.ports == {"a": free}
    assert is_free(free)
    assert choose_ports({"a": free})["a"] != free
    claims.release()
    assert choose_ports({"a": free})["a"] == free
