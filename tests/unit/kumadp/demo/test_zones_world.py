"""Where everything is in the demo with several zones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import astuple

import pytest

from kumadp.demo import zones_world
from kumamesh.resources.registry import TYPES
from kumamesh.resources.rest import from_rest


def _flat(value: object) -> Iterator[object]:
    if isinstance(value, tuple):
        for part in value:
            yield from _flat(part)
    else:
        yield value


@pytest.mark.parametrize("zones", [2, 3])
def test_every_port_has_its_own_place(zones: int) -> None:
    numbers = list(range(1, zones_world.needed(zones) + 1))
    ports = zones_world.Ports.from_free(numbers)
    assert len(ports.zones) == zones
    assert sorted(_flat(astuple(ports))) == numbers  # type: ignore[type-var]


def test_zones_join_one_global_and_have_servers_of_their_own() -> None:
    ports = zones_world.Ports.from_free(range(zones_world.needed(2)))
    globe = zones_world.global_environment(ports.globe, "/d/global")
    first, second = (
        zones_world.zone_environment(number, ports, f"/d/{number}", "/d/global/kuma-cp.crt")
        for number in (1, 2)
    )
    address = f"grpcs://localhost:{globe['KUMA_MULTIZONE_GLOBAL_KDS_GRPC_PORT']}"
    assert first["KUMA_MULTIZONE_ZONE_GLOBAL_ADDRESS"] == address
    assert "KUMA_MULTIZONE_ZONE_NAME" not in globe
    differing = {key for key in first if first[key] != second[key]}
    assert differing == {
        "KUMA_MULTIZONE_ZONE_NAME",
        "KUMA_GENERAL_WORK_DIR",
        "KUMA_DP_SERVER_PORT",
        "KUMA_API_SERVER_HTTP_PORT",
        "KUMA_API_SERVER_HTTPS_PORT",
        "KUMA_DIAGNOSTICS_SERVER_PORT",
    }


def test_the_resources_are_valid_and_the_ingress_is_advertised() -> None:
    ports = zones_world.Ports.from_free(range(10_000, 10_000 + zones_world.needed(2)))
    ingress = from_rest(zones_world.ingress(2, ports.zones[1]))
    assert ingress.spec.has_public_address
    assert {ingress.type, from_rest(zones_world.web(ports.client)).type} <= TYPES.keys()
    backends = {from_rest(zones_world.backend(number, ports.zones[number - 1])).name for number in (1, 2)}
    assert backends == {"backend-zone-1", "backend-zone-2"}
