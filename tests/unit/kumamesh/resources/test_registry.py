"""The list of resource types (contract 9.2)."""

from __future__ import annotations

import pytest

from kumamesh.resources.registry import TYPES, by_path, suggest_type


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("meshes", "Mesh"),
        ("dataplanes", "Dataplane"),
        ("dataplane-insights", "DataplaneInsight"),
        ("zones", "Zone"),
        ("zone-insights", "ZoneInsight"),
        ("zoneingresses", "ZoneIngress"),
        ("zone-ingresses", "ZoneIngress"),
        ("zoneegresses", "ZoneEgress"),
        ("secrets", "Secret"),
        ("global-secrets", "GlobalSecret"),
        ("globalsecrets", "GlobalSecret"),
        ("traffic-permissions", "TrafficPermission"),
        ("external-services", "ExternalService"),
        ("virtual-outbounds", "VirtualOutbound"),
        ("configs", "Config"),
        ("meshtrafficpermissions", "MeshTrafficPermission"),
        ("service-insights", "ServiceInsight"),
        ("mesh-insights", "MeshInsight"),
    ],
)
def test_a_path_of_the_rest_api_names_its_type(path: str, name: str) -> None:
    found = by_path(path)
    assert found is not None
    assert found.name == name


def test_an_unknown_path_names_no_type() -> None:
    assert by_path("meshtimeouts") is None


def test_paths_and_names_are_unique() -> None:
    paths = [path for type_ in TYPES.values() for path in (type_.path, *type_.path_aliases)]
    assert len(set(paths)) == len(paths)
    names = [name for type_ in TYPES.values() for name in (type_.singular, type_.plural)]
    assert len(set(names)) == len(names)


def test_scopes_and_rights_are_those_of_kuma() -> None:
    def names(flag: str) -> set[str]:
        return {type_.name for type_ in TYPES.values() if getattr(type_, flag)}

    assert names("mesh_scoped") == {
        "Dataplane",
        "DataplaneInsight",
        "ExternalService",
        "MeshTrafficPermission",
        "Secret",
        "ServiceInsight",
        "TrafficPermission",
        "VirtualOutbound",
    }
    assert names("nested_spec") == {"MeshTrafficPermission"}
    assert names("admin_only") == {"Secret", "GlobalSecret", "Config"}
    assert names("read_only") == {"Config", *(name for name in TYPES if name.endswith("Insight"))}
    assert names("policy") == {"TrafficPermission", "MeshTrafficPermission"}


@pytest.mark.parametrize(
    ("given", "expected"),
    [("dataplane", "Dataplane"), ("MeshTraficPermission", "MeshTrafficPermission"), ("Kubernetes", None)],
)
def test_a_mistyped_type_is_guessed(given: str, expected: str | None) -> None:
    assert suggest_type(given) == expected
