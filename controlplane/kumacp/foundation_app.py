"""What every control plane stands on in any mode: certificate, store, manager, metrics, diagnostics."""

from __future__ import annotations

import gc
import socket
import uuid
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from kumacp.api.application import InstanceFacts, KeyRings
from kumacp.api.aspects_endpoints import Proxies
from kumacp.api.server import ApiServer
from kumacp.diagnostics_server import DiagnosticsServer
from kumacp.identity.server_cert_disk import ServerCertificate, ensure_server_certificate
from kumacp.identity.signing_keys import KeyRing
from kumacp.identity.signing_keys_disk import load_public_keys
from kumacp.manager.resource_driver import ResourceManager
from kumacp.metrics import Instance, Metrics
from kumacp.mode import Role
from kumacp.settings import CpSettings
from kumacp.store.api import Store
from kumacp.store.memory import MemoryStore
from kumacp.store.metered_store import MeteredStore
from kumacp.store.sqlite import SqliteStore
from kumamesh.logs import Levels

DATABASE = "kuma-cp.db"


@dataclass(frozen=True, slots=True)
class Foundation:
    """`certificate` is the general one; `instance` a random id of this run."""

    settings: CpSettings
    role: Role
    certificate: ServerCertificate
    store: MeteredStore
    manager: ResourceManager
    metrics: Metrics
    diagnostics: DiagnosticsServer
    instance: str

    @classmethod
    async def lay(
        cls, settings: CpSettings, checked: Role, levels: Levels, stack: AsyncExitStack
    ) -> Foundation:
        """With the diagnostics listening, and not ready yet; `stack` ends what was started. Garbage is not
        collected until `calm_garbage_collection`: what is read of the store stays, and the collector would
        walk it so often that 10,000 proxies would take four times as long."""
        gc.disable()
        general = ensure_server_certificate(settings.work_dir, settings.tls_cert_file, settings.tls_key_file)
        # First of all: a second control plane in this work dir is told so, and not of a port in use.
        store = MeteredStore(await _open_store(settings))
        stack.push_async_callback(store.close)
        metrics = Metrics()
        own = (settings.diagnostics_tls_cert_file, settings.diagnostics_tls_key_file)
        certificate = certificate_of(settings, own, "KUMA_DIAGNOSTICS_TLS", general)
        diagnostics = DiagnosticsServer(settings, metrics, levels, certificate)
        await diagnostics.start()
        stack.push_async_callback(diagnostics.stop)
        instance = str(uuid.uuid4())
        metrics.expose_instance(Instance(checked.mode, checked.zone, instance))
        metrics.expose_store(store)
        manager = ResourceManager(store, settings)
        return cls(settings, checked, general, store, manager, metrics, diagnostics, instance)

    def certificate_of(self, own: tuple[Path | None, Path | None], setting: str) -> ServerCertificate:
        """That of one server: its own pair, if it was given one by the variables that begin with
        `setting`."""
        return certificate_of(self.settings, own, setting, self.certificate)

    def api_server(self, cluster_id: str, proxies: Proxies) -> ApiServer:
        """The REST API, counted; it does not listen yet."""
        api = ApiServer(
            self.settings,
            self.store,
            self.manager,
            _key_rings(self.store, self.settings),
            InstanceFacts(socket.gethostname(), self.instance, cluster_id),
            certificate=(self.certificate.cert_path, self.certificate.key_path),
            proxies=proxies,
        )
        self.metrics.expose_http("api_server", api.traffic)
        self.metrics.expose("tokens_issued_total", lambda: api.tokens_issued)
        return api


def calm_garbage_collection() -> None:
    """What is here now stays, and what a thousand proxies add stays for hours: with Python's thresholds the
    collector would walk all of it in the middle of a push, again and again (0.1 s each)."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    gc.enable()


def certificate_of(
    settings: CpSettings, own: tuple[Path | None, Path | None], setting: str, general: ServerCertificate
) -> ServerCertificate:
    """That of one server: its own pair, if it was given one, else the general one."""
    return general if own == (None, None) else ensure_server_certificate(settings.work_dir, *own, setting)


async def _open_store(settings: CpSettings) -> Store:
    if settings.store_type == "memory":
        return MemoryStore()
    return await SqliteStore.open(settings.work_dir.expanduser() / DATABASE)


def _key_rings(store: Store, settings: CpSettings) -> KeyRings:
    """Keys are read anew each time, so that one made by the request before is known."""
    user_keys = load_public_keys(settings.user_token_public_keys)

    async def read() -> KeyRing:
        return KeyRing(
            [*await store.list("Secret"), *await store.list("GlobalSecret")],
            static_user_keys=user_keys,
            use_user_secrets=settings.user_token_validator_use_secrets,
            federated=bool(settings.zone_global_address),
        )

    return read
