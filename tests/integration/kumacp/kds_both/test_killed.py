"""Control planes of a zone and of global that are killed at any moment, as real processes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lab import ControlPlane, eventually
from lab import dataplane as document
from zones import zones

ROUNDS = 4


def permission(name: str) -> dict[str, Any]:
    every = [{"match": {"kuma.io/service": "*"}}]
    return {
        "type": "TrafficPermission",
        "mesh": "default",
        "name": name,
        "sources": every,
        "destinations": every,
    }


def display_names(plane: ControlPlane, kind: str) -> set[str]:
    found = plane.get(f"/meshes/default/{kind}?size=1000")
    return {item["labels"]["kuma.io/display-name"] for item in found["items"]}


def test_writes_on_both_sides_survive_kills_of_either(tmp_path: Path) -> None:
    with zones(tmp_path, "z1") as world:
        zone, top = world["z1"].plane, world.top
        world.ready()
        permissions = display_names(top, "traffic-permissions")
        dataplanes: set[str] = set()
        for number in range(ROUNDS):
            for part in "abc":
                top.put(permission(f"tp-{number}{part}"))
                zone.put(document(f"dp-{number}{part}", "backend", app_port=20_000))
                permissions.add(f"tp-{number}{part}")
                dataplanes.add(f"dp-{number}{part}")
            victim = (zone, top)[number % 2]
            victim.kill()
            # The one that is left works alone, and loses nothing.
            if victim is zone:
                assert display_names(top, "traffic-permissions") == permissions
                top.delete(f"/meshes/default/traffic-permissions/tp-{number}a")
                permissions.remove(f"tp-{number}a")
            else:
                assert display_names(zone, "dataplanes") == dataplanes
                zone.delete(f"/meshes/default/dataplanes/dp-{number}a")
                dataplanes.remove(f"dp-{number}a")
            victim.start()

        def converged() -> bool:
            return all(
                display_names(plane, "traffic-permissions") == permissions
                and display_names(plane, "dataplanes") == dataplanes
                for plane in (zone, top)
            )

        eventually(converged, "both sides have the same")
