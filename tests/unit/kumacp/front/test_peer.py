from __future__ import annotations

import pytest

from kumacp.front.peer import client_address, socket_name


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("10.1.2.3", "10.1.2.3:4567"),
        ("::1", "[::1]:4567"),
        ("fe80::1%eth0", "[fe80::1%eth0]:4567"),
        ("::ffff:10.1.2.3", "10.1.2.3:4567"),
    ],
)
def test_address_comes_back_from_the_name(host: str, expected: str) -> None:
    name = socket_name(1234, 5, host, 4567).decode()
    assert client_address(f"unix-abstract:{name}") == expected
    assert client_address("unix-abstract:" + name.replace("/", "%2F").replace(":", "%3A")) == expected


def test_name_fits_into_a_unix_address() -> None:
    longest = socket_name(4_194_304, 2**32, "fe80:1111:2222:3333:4444:5555:6666:7777%interface-name0", 65535)
    assert len(longest) <= 107


@pytest.mark.parametrize("peer", ["ipv4:127.0.0.1:80", "unix:", "unix:/tmp/mux/1.2/sock", ""])
def test_other_peers_stay_as_they_are(peer: str) -> None:
    assert client_address(peer) == peer
