"""Which endpoint the control plane asks, and which it never does."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kumacp.envoyadmin.question import ProxyUnavailable
from kumacp.envoyadmin.target import ConnectedProxy, Target, host_of, target_of

LOCAL = ConnectedProxy(
    node_id="default.web-1",
    peer="127.0.0.1",
    admin_address="127.0.0.1",
    admin_port=9901,
    address="127.0.0.1",
    has_listener=False,
)
FAR = replace(LOCAL, peer="10.0.0.7", address="10.0.0.7", has_listener=True)


def test_a_proxy_with_an_admin_listener_is_asked_there_with_mtls() -> None:
    assert target_of(FAR) == Target("default.web-1", "10.0.0.7", 9901, secure=True)
    assert target_of(replace(FAR, peer="127.0.0.1")).secure
    assert target_of(replace(FAR, address="web-1.example")).host == "web-1.example"


@pytest.mark.parametrize("peer", ["127.0.0.1", "127.0.0.9", "::1", "::ffff:127.0.0.1"])
def test_a_proxy_of_this_host_is_asked_on_loopback(peer: str) -> None:
    assert target_of(replace(LOCAL, peer=peer)) == Target("default.web-1", "127.0.0.1", 9901, secure=False)


@pytest.mark.parametrize("address", ["10.0.0.7", "169.254.169.254", "metadata.internal", "127.0.0.1@evil"])
def test_plain_text_goes_to_loopback_whatever_the_resource_says(address: str) -> None:
    assert target_of(replace(LOCAL, address=address)).host == "127.0.0.1"


@pytest.mark.parametrize(
    ("told", "asked"),
    [("", "127.0.0.1"), ("0.0.0.0", "127.0.0.1"), ("::1", "::1"), ("::", "::1"), ("10.0.0.1", "127.0.0.1")],
)
def test_the_admin_address_that_the_proxy_told_is_used_if_it_can_be_one(told: str, asked: str) -> None:
    assert target_of(replace(LOCAL, admin_address=told)).host == asked


@pytest.mark.parametrize("peer", ["10.0.0.7", "fd00::7", "", "unix:", "localhost", "0.0.0.0"])
def test_a_proxy_of_another_host_without_a_listener_cannot_be_asked(peer: str) -> None:
    with pytest.raises(ProxyUnavailable, match=r"networking\.address"):
        target_of(replace(LOCAL, peer=peer))


@pytest.mark.parametrize("proxy", [LOCAL, FAR])
def test_without_an_admin_port_there_is_nothing_to_ask(proxy: ConnectedProxy) -> None:
    with pytest.raises(ProxyUnavailable, match="admin port"):
        target_of(replace(proxy, admin_port=0))


@pytest.mark.parametrize("address", ["", "a/b", "user@host", "host:80", "a b", "-x", "x?y", "[::1]", "ä"])
def test_what_is_no_host_is_not_asked(address: str) -> None:
    with pytest.raises(ProxyUnavailable, match=r"networking\.address"):
        target_of(replace(FAR, address=address))


@pytest.mark.parametrize(
    ("peer", "host"),
    [
        ("127.0.0.1:4711", "127.0.0.1"),
        ("[::1]:4711", "::1"),
        ("ipv4:127.0.0.1:4711", "ipv4:127.0.0.1:4711"),
        ("unix:", "unix:"),
        ("", ""),
    ],
)
def test_the_host_of_a_peer(peer: str, host: str) -> None:
    assert host_of(peer) == host


def test_targets_are_shown_as_addresses() -> None:
    assert str(target_of(LOCAL)) == "http://127.0.0.1:9901"
    assert str(Target("n", "::1", 1, secure=True)) == "https://[::1]:1"
