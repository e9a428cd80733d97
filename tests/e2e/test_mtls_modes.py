"""STRICT and PERMISSIVE, and the way from one to the other."""

from __future__ import annotations

from lab import Lab, eventually, http, mesh
from load import Load
from pair import Pair, start_pair


def _plain(pair: Pair) -> int:
    return http("GET", f"http://127.0.0.1:{pair.backend_inbound}/")[0]


def test_strict_refuses_plain_text(mesh_lab: Lab) -> None:
    pair = start_pair(mesh_lab, mode="STRICT")
    assert pair.identity() == "spiffe://default/web"
    assert _plain(pair) == 0


def test_permissive_takes_both(mesh_lab: Lab) -> None:
    pair = start_pair(mesh_lab, mode="PERMISSIVE")
    assert _plain(pair) == 200
    # Once every instance of backend has a certificate, web uses mTLS.
    eventually(lambda: pair.identity() == "spiffe://default/web", "mTLS in PERMISSIVE")
    assert _plain(pair) == 200


def test_from_plain_to_permissive_to_strict_without_a_failed_request(mesh_lab: Lab) -> None:
    pair = start_pair(mesh_lab, mode=None)
    assert pair.identity() == ""
    with Load(pair.port) as load:
        load.wait_for(20)
        pair.plane.put(mesh(mode="PERMISSIVE"))
        eventually(lambda: pair.identity() == "spiffe://default/web", "mTLS in PERMISSIVE")
        load.wait_for(50)
        pair.plane.put(mesh(mode="STRICT"))
        eventually(lambda: _plain(pair) == 0, "plain text refused")
        load.wait_for(50)
    assert not load.failures
