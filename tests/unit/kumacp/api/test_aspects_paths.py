"""Paths below an item."""

from __future__ import annotations

import pytest

from kumacp.api.aspects import aspect_of, section_of
from kumacp.api.routes import Kind, match
from kumamesh.resources.registry import TYPES

KRI = "kri_dp_default_zone__web-1_8080"


@pytest.mark.parametrize(
    ("path", "type_", "aspect"),
    [
        *[
            (f"/meshes/m/dataplanes/d/{aspect}", "Dataplane", aspect)
            for aspect in (
                "xds", "stats", "clusters", "_config", "policies", "rules", "_rules", "_policies", "_layout",
                f"_inbounds/{KRI}/_policies", f"_outbounds/{KRI}/_policies",
            )
        ],
        *[
            (f"/{folder}/i/{aspect}", type_, aspect)
            for folder, type_ in (
                ("zoneingresses", "ZoneIngress"),
                ("zone-ingresses", "ZoneIngress"),
                ("zoneegresses", "ZoneEgress"),
            )
            for aspect in ("xds", "stats", "clusters")
        ],
        *[
            (f"/meshes/m/{folder}/p/{aspect}", type_, aspect)
            for folder, type_ in (
                ("traffic-permissions", "TrafficPermission"),
                ("meshtrafficpermissions", "MeshTrafficPermission"),
            )
            for aspect in ("dataplanes", "_resources/dataplanes", "-resources/dataplanes")
        ],
    ],
)  # fmt: skip
def test_what_can_be_asked(path: str, type_: str, aspect: str) -> None:
    route = match(tuple(path[1:].split("/")))
    assert route is not None
    assert route.type is not None
    assert (route.kind, route.type.name, route.aspect) == (Kind.ASPECT, type_, aspect)
    assert route.methods == ("GET", "HEAD")


@pytest.mark.parametrize(
    "path",
    [
        "/meshes/m/dataplanes/d/quitquitquit",
        "/meshes/m/dataplanes/d/config_dump",
        "/meshes/m/dataplanes/d/xds/more",
        "/meshes/m/dataplanes/d/dataplanes",
        "/meshes/m/dataplanes/d/_inbounds/_policies",
        "/meshes/m/dataplanes/d/_inbounds/x/y/_policies",
        "/meshes/m/dataplanes/d/_inbounds/x/_rules",
        "/dataplanes/d/xds",
        "/zoneingresses/i/_config",
        "/zones/z/xds",
        "/meshes/m/secrets/s/dataplanes",
        "/meshes/m/dataplane-insights/d/xds",
        "/meshes/m/xds",
    ],
)
def test_what_cannot(path: str) -> None:
    route = match(tuple(path[1:].split("/")))
    assert route is None or route.kind is not Kind.ASPECT


@pytest.mark.parametrize(
    "rest", [["_inbounds/x/_policies"], ["_inbounds", "a/b", "_policies"], ["_resources/dataplanes"]]
)
def test_an_encoded_slash_separates_nothing(rest: list[str]) -> None:
    assert all(aspect_of(type_, rest) is None for type_ in TYPES)


def test_every_policy_type_can_be_asked_for_its_proxies() -> None:
    policies = [name for name, type_ in TYPES.items() if type_.policy]
    assert policies
    assert all(aspect_of(name, ["dataplanes"]) for name in policies)


def test_sections() -> None:
    assert section_of(f"_inbounds/{KRI}/_policies") == ("_inbounds", KRI)
    assert section_of("_outbounds/x/_policies") == ("_outbounds", "x")
    assert section_of("_policies") is None
    assert section_of("_inbounds//_policies") is None
