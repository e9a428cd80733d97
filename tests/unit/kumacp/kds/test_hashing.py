"""Kuma's own vectors, and what any name must be."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kumacp.kds.protocol.hashing import synced_name
from kumamesh.names import NAMESPACE_LABEL, ZONE_LABEL
from kumamesh.resources.rules.common import name_problem

NAMES = st.from_regex(re.compile(r"[a-z0-9]([a-z0-9.-]{0,250}[a-z0-9])?", re.ASCII), fullmatch=True)


@pytest.mark.parametrize(
    ("mesh", "name", "labels", "expected"),
    [
        ("", "foo", {}, "foo-zxw6c95d42zfz9cc"),
        ("", "foo", {ZONE_LABEL: "zone-1", NAMESPACE_LABEL: "custom-ns"}, "foo-696vzv497z4cv4f4"),
        ("default", "backend", {ZONE_LABEL: "zone-1"}, "backend-d8466458x7574b7b"),
        ("default", "dp-1", {ZONE_LABEL: "zone-1"}, "dp-1-dff6z597w47d46xx"),
    ],
)
def test_vectors(mesh: str, name: str, labels: dict[str, str], expected: str) -> None:
    assert synced_name(mesh, name, labels) == expected


def test_other_labels_do_not_count() -> None:
    assert synced_name("m", "a", {"team": "x"}) == synced_name("m", "a", {})


@given(NAMES, st.sampled_from(["", "default"]), st.sampled_from(["", "east"]))
def test_every_name_is_allowed_and_tells_zones_and_meshes_apart(name: str, mesh: str, zone: str) -> None:
    synced = synced_name(mesh, name, {ZONE_LABEL: zone})
    assert name_problem(synced) is None
    assert synced.startswith(f"{name[:236]}-")
    assert synced != synced_name(mesh, name, {ZONE_LABEL: "west"})
    assert synced != synced_name("other", name, {ZONE_LABEL: zone})
