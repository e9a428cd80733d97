"""Identifiers of resources (contract 5.2)."""

from __future__ import annotations

import pytest

from kumamesh.kri import find_by_kri, kri_of, type_of_kri
from kumamesh.resource import Resource, ResourceKey
from kumamesh.resources.registry import TYPES

LABELS = {
    "kuma.io/zone": "east",
    "k8s.kuma.io/namespace": "demo",
    "kuma.io/display-name": "shown",
}


def resource(type_: str, name: str, mesh: str = "default", **labels: str) -> Resource:
    return Resource(ResourceKey(type_, mesh, name), None, labels)


def test_an_identifier_says_type_mesh_place_name_and_section() -> None:
    assert kri_of(resource("Dataplane", "web-1")) == "kri_dp_default___web-1_"
    named = Resource(ResourceKey("Dataplane", "default", "web-1"), None, LABELS)
    assert kri_of(named, "8080") == "kri_dp_default_east_demo_shown_8080"
    assert kri_of(resource("Mesh", "default", "")) == "kri_m____default_"
    assert kri_of(resource("Secret", "s")) == ""


def test_short_names_are_kumas_and_mean_one_type_each() -> None:
    short = {type_.short_name: type_.name for type_ in TYPES.values() if type_.short_name}
    assert short["m"] == "Mesh"
    assert (short["dp"], short["zi"], short["ze"]) == ("Dataplane", "ZoneIngress", "ZoneEgress")
    assert short["mtp"] == "MeshTrafficPermission"
    assert len(short) == sum(bool(type_.short_name) for type_ in TYPES.values())


def test_the_type_of_an_identifier() -> None:
    assert type_of_kri("kri_dp_default___web-1_").name == "Dataplane"
    with pytest.raises(ValueError, match='"dataplane" is not the short name of a type; known are '):
        type_of_kri("kri_dataplane_default___web-1_")


@pytest.mark.parametrize("kri", ["", "kri", "dp_default___a_", "kri_dp_default__a_", "KRI_dp_default___a_"])
def test_what_is_no_identifier(kri: str) -> None:
    with pytest.raises(ValueError, match="has the form kri_"):
        type_of_kri(kri)


def test_names_may_have_underscores() -> None:
    resources = [resource("Dataplane", name) for name in ("web", "web_1", "web_1_x", "api")]
    for each in resources:
        assert find_by_kri(kri_of(each), resources) is each
        assert find_by_kri(kri_of(each, "http"), resources) is each
    assert find_by_kri("kri_dp_other___web_", resources) is None
    assert find_by_kri("kri_dp_default___web", resources) is None
    assert find_by_kri("", [resource("Secret", "s")]) is None
