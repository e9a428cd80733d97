"""A data-plane server with the real store, manager, hub and certificates, and proxies that connect to it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from ads_client import WITHIN_S, AdsClient, node_metadata
from kumacp.defaults_driver import ensure_defaults
from kumacp.dpserver.clock import Clock
from kumacp.dpserver.server import DpServer
from kumacp.dpserver.tls_disk import CertificateFiles
from kumacp.identity.signing_keys import KeyRing, TokenKind
from kumacp.manager.resource_driver import ResourceManager
from kumacp.policy.permission import inbound_rbac, outside_rbac
from kumacp.settings import CpSettings
from kumacp.store.api import NotFound, Store
from kumacp.store.memory import MemoryStore
from kumacp.xds.build import build
from kumacp.xds.edge.egress import Egress
from kumacp.xds.edge.ingress import Ingress
from kumacp.xds.hub import Hub
from kumamesh.resource import Resource, ResourceKey
from kumamesh.resources.insight import DataplaneInsight
from kumamesh.resources.rest import from_rest
from kumamesh.resources.secret import Secret
from kumamesh.settings import Seconds
from kumamesh.tokens import DataplaneClaims, ZoneClaims, issue

SETTINGS = CpSettings(deregistration_delay=Seconds(0.3), status_flush_interval=Seconds(0.1))
MTLS = {"enabledBackend": "ca-1", "backends": [{"name": "ca-1", "type": "builtin"}]}


_first_start: dict[bool, Sequence[Resource]] = {}


async def first_store(*, mtls: bool = False) -> MemoryStore:
    """A store as a control plane leaves it at its first start; keys are made once, because they take time."""
    if mtls not in _first_start:
        made = MemoryStore()
        manager = ResourceManager(made, SETTINGS)
        await ensure_defaults(made, manager, SETTINGS)
        if mtls:
            await manager.put(from_rest({"type": "Mesh", "name": "default", "mtls": MTLS}))
        await manager.put(from_rest({"type": "Mesh", "name": "other"}))
        types = ("Mesh", "Secret", "GlobalSecret", "TrafficPermission")
        _first_start[mtls] = [resource for type_ in types for resource in await made.list(type_)]
    store = MemoryStore()
    await store.create_all(_first_start[mtls])
    return store


def dataplane(
    name: str = "web-1",
    service: str = "web",
    *,
    mesh: str = "default",
    port: int = 8080,
    outbounds: dict[int, str] | None = None,
    **tags: str,
) -> dict[str, Any]:
    """The document of a sidecar with one inbound."""
    return {
        "type": "Dataplane",
        "mesh": mesh,
        "name": name,
        "networking": {
            "address": "127.0.0.1",
            "inbound": [
                {"port": port, "tags": {"kuma.io/service": service, "kuma.io/protocol": "http", **tags}}
            ],
            "outbound": [
                {"port": at, "tags": {"kuma.io/service": to}} for at, to in (outbounds or {}).items()
            ],
        },
    }


class Plane:
    """One running control plane, as far as proxies see it."""

    def __init__(
        self,
        store: Store,
        settings: CpSettings,
        target: str,
        certificate: CertificateFiles | None,
        clock: Clock | None,
    ) -> None:
        self.store = store
        self.settings = settings
        self.target = target
        self.manager = ResourceManager(store, settings)
        carriers = (Ingress(), Egress(outside_rbac))
        self.hub = Hub(settings.zone_name, build, inbound_rbac, carriers=carriers)
        self.server = DpServer(settings, store, self.manager, self.hub, certificate=certificate, clock=clock)

    async def token(self, name: str = "", mesh: str = "default", **more: Any) -> str:
        valid_for_s = more.pop("valid_for_s", 3600.0)
        claims = DataplaneClaims(name=name, mesh=mesh, **more)
        key = KeyRing(await self.store.list("Secret")).latest(TokenKind.DATAPLANE, mesh)
        return issue(claims, key, now=time.time(), valid_for_s=valid_for_s)

    async def zone_token(self, **claims: Any) -> str:
        key = KeyRing(await self.store.list("GlobalSecret")).latest(TokenKind.ZONE)
        return issue(ZoneClaims(**claims), key, now=time.time(), valid_for_s=3600.0)

    def client(
        self, resource: dict[str, Any] | None = None, *tokens: str, node_id: str = "", **options: Any
    ) -> AdsClient:
        if not node_id and resource is not None:
            node_id = f"{resource.get('mesh', '')}.{resource['name']}"
        metadata = options.pop("metadata", None) or node_metadata(resource)
        return AdsClient(self.target, node_id, metadata, tokens=tokens, **options)

    async def connect(self, resource: dict[str, Any], *tokens: str, **options: Any) -> AdsClient:
        """A sidecar that has all its configuration, with a token of its own if none is given."""
        client = self.client(resource, *(tokens or [await self.token(resource["name"])]), **options)
        await client.ask_all()
        return client

    async def get(self, key: ResourceKey) -> Resource | None:
        try:
            return await self.store.get(key)
        except NotFound:
            return None

    async def dataplane(self, name: str = "web-1") -> Resource | None:
        return await self.get(ResourceKey("Dataplane", "default", name))

    async def insight(self, name: str = "web-1") -> DataplaneInsight | None:
        stored = await self.get(ResourceKey("DataplaneInsight", "default", name))
        return stored.spec if stored else None

    async def put(self, document: dict[str, Any]) -> None:
        await self.manager.put(from_rest(document))

    async def revoke(self, token_id: str, mesh: str = "default") -> None:
        key = ResourceKey("Secret", mesh, f"dataplane-token-revocations-{mesh}")
        await self.manager.put(Resource(key, Secret(data=token_id.encode())))

    async def gone(self, name: str = "web-1") -> None:
        """Wait until the Dataplane is deregistered."""

        async def deleted() -> bool:
            return await self.dataplane(name) is None

        await eventually(deleted)


async def eventually(condition: Callable[[], Awaitable[Any]], within_s: float = WITHIN_S) -> Any:
    """The first true value of the condition."""
    async with asyncio.timeout(within_s):
        while not (value := await condition()):
            await asyncio.sleep(0.005)
    return value


@asynccontextmanager
async def running(
    store: Store,
    folder: Path,
    *,
    certificate: CertificateFiles | None = None,
    clock: Clock | None = None,
    **changes: Any,
) -> AsyncIterator[Plane]:
    """A control plane on a Unix socket in `folder`; `changes` replace settings. Its end is a shutdown."""
    settings = replace(SETTINGS, **changes)
    socket = folder / "dp.sock"
    socket.unlink(missing_ok=True)
    plane = Plane(store, settings, f"unix:{socket}", certificate, clock)
    await plane.server.start(plane.target)
    async with asyncio.TaskGroup() as group:
        group.create_task(plane.server.run())
        try:
            yield plane
        finally:
            await plane.server.stop(2.0)
