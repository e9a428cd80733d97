"""Zones in one process: each has a store full of Dataplanes and insights, and the product's own sync with
global.

Speaks lines of JSON. The first on stdin is `{"ports": {ZONE: PORT OF GLOBAL}, "dataplanes": N}`, so many in
each zone. `{"ready": true}` comes on stdout when they are made. Then each line is a command:

* `{"do": "join"}`: all zones at once
* `{"do": "join", "zone": Z}`: hang up and dial again
* `{"do": "wait"}`: until global has acknowledged everything once more, because it was started again
* `{"do": "change", "zone": Z, "number": N}`: the N-th Dataplane gets another port

Each is answered by `{"took": SECONDS}` when global has acknowledged it all.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "support"))

from fleet import dataplane, service

from joined_zone import JoinedZone
from kumacp.kds.protocol.catalog import from_zone
from kumacp.settings import CpSettings
from kumacp.store.memory import MemoryStore
from kumamesh import names
from kumamesh.resource import Resource, ResourceKey
from kumamesh.resources.rest import from_rest, spec_from_json

SERVICES = 100
OUTBOUNDS = 10


def proxy(zone: str, number: int) -> Resource:
    called = [service((number + step) % SERVICES) for step in range(1, OUTBOUNDS + 1)]
    document = dataplane(f"proxy-{number}", number, 8080, service(number % SERVICES), called)
    for inbound in document["networking"]["inbound"]:
        inbound["tags"][names.ZONE_TAG] = zone
    resource = from_rest(document)
    labels = {names.ORIGIN_LABEL: "zone", names.ZONE_LABEL: zone, names.DISPLAY_NAME_LABEL: resource.name}
    return replace(resource, labels=labels)


def insight(zone: str, number: int) -> Resource:
    """What a control plane writes of a proxy that has been connected twice, with mTLS."""
    counted = {"responsesSent": "17", "responsesAcknowledged": "17"}
    subscriptions = [
        {
            "id": f"6b1a5f0e-1b7c-4a2d-9d1e-{number:06d}{each:06d}",
            "controlPlaneInstanceId": f"{zone}-cp-6c1f",
            "connectTime": f"2026-11-2{each}T10:00:00.123456Z",
            **({"disconnectTime": "2026-11-21T09:59:59.123456Z"} if each == 0 else {}),
            "status": {
                "lastUpdateTime": f"2026-11-2{each}T10:00:01.123456Z",
                "total": {"responsesSent": "68", "responsesAcknowledged": "68"},
                **dict.fromkeys(("cds", "eds", "lds", "rds"), counted),
            },
            "version": {
                "kumaDp": {"version": "2.13.0", "gitTag": "v2.13.0", "kumaCpCompatible": True},
                "envoy": {
                    "version": "1.40.0",
                    "build": "0f2c6e0/1.40.0/Clean",
                    "kumaDpCompatible": True,
                },
            },
        }
        for each in range(2)
    ]
    body = {
        "subscriptions": subscriptions,
        "mTLS": {
            "certificateExpirationTime": "2026-11-22T10:00:00.123456Z",
            "lastCertificateRegeneration": "2026-11-21T10:00:00.123456Z",
            "certificateRegenerations": 2,
            "issuedBackend": "ca-1",
            "supportedBackends": ["ca-1"],
        },
    }
    spec = spec_from_json("DataplaneInsight", body)
    return Resource(ResourceKey("DataplaneInsight", "default", f"proxy-{number}"), spec)


class Acknowledged(Counter[str]):
    """Wakes who waits whenever a response was accepted."""

    def __init__(self) -> None:
        super().__init__()
        self.changed = asyncio.Event()

    def __setitem__(self, type_: str, count: int) -> None:
        super().__setitem__(type_, count)
        self.changed.set()


class SimulatedZone:
    def __init__(self, name: str, port: int, dataplanes: int) -> None:
        self.name = name
        settings = CpSettings(
            zone_name=name, zone_global_address=f"grpcs://localhost:{port}", kds_tls_skip_verify=True
        )
        self._store = MemoryStore()
        self._dataplanes = dataplanes
        self._running: asyncio.Task[None] | None = None
        self._federation = JoinedZone(self._store, settings, f"store-of-{name}").federation
        self._acknowledged = self._federation.traffic.accepted = Acknowledged()

    async def fill(self) -> None:
        numbers = range(self._dataplanes)
        await self._store.create_all([proxy(self.name, number) for number in numbers])
        await self._store.create_all([insight(self.name, number) for number in numbers])

    async def join(self) -> None:
        """Until global has acknowledged the list of every type."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait((self._running,))
        self._running = asyncio.get_running_loop().create_task(self._federation.run())
        await self.wait()

    async def wait(self) -> None:
        """Until global has acknowledged the list of every type from now on."""
        self._acknowledged.clear()
        await self._until(dict.fromkeys(from_zone(), 1))

    async def change(self, number: int) -> None:
        """Until global has acknowledged it."""
        stored = await self._store.get(ResourceKey("Dataplane", "default", f"proxy-{number}"))
        networking = stored.spec.networking
        [inbound] = networking.inbound
        moved = inbound.model_copy(update={"port": inbound.port + 1})
        spec = stored.spec.model_copy(
            update={"networking": networking.model_copy(update={"inbound": (moved,)})}
        )
        wanted = {"Dataplane": self._acknowledged["Dataplane"] + 1}
        await self._store.update(replace(stored, spec=spec))
        await self._until(wanted)

    async def _until(self, wanted: Mapping[str, int]) -> None:
        while any(self._acknowledged[type_] < count for type_, count in wanted.items()):
            self._acknowledged.changed.clear()
            await self._acknowledged.changed.wait()


async def obey(zones: Mapping[str, SimulatedZone], command: Mapping[str, Any]) -> None:
    chosen = [zones[command["zone"]]] if "zone" in command else list(zones.values())
    async with asyncio.TaskGroup() as group:
        for zone in chosen:
            match command["do"]:
                case "join":
                    group.create_task(zone.join())
                case "wait":
                    group.create_task(zone.wait())
                case "change":
                    group.create_task(zone.change(command["number"]))


async def main() -> None:
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    spec = json.loads(await reader.readline())
    zones = {name: SimulatedZone(name, port, spec["dataplanes"]) for name, port in spec["ports"].items()}
    for zone in zones.values():
        await zone.fill()
    tell({"ready": True})
    while line := await reader.readline():
        begin = time.monotonic()
        await obey(zones, json.loads(line))
        tell({"took": time.monotonic() - begin})


def tell(message: Mapping[str, Any]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main())
