"""Fetches what the bootstrap decision needs from the store and asks it."""

from __future__ import annotations

import time
from collections.abc import Callable

from kumacp import bootstrap_service
from kumacp.bootstrap_service import BootstrapAnswer, BootstrapFacts
from kumacp.identity.server_cert import subject_names
from kumacp.identity.signing_keys import KeyRing
from kumacp.settings import CpSettings
from kumacp.store.api import NotFound, Store
from kumamesh.resource import Resource, ResourceKey


class BootstrapDriver:
    """`keys` gives the signing keys as they are stored now."""

    def __init__(
        self, settings: CpSettings, store: Store, certificate_pem: bytes, keys: Callable[[], KeyRing]
    ) -> None:
        self._settings = settings
        self._store = store
        self._names = subject_names(certificate_pem)
        self._ca_pem = certificate_pem.decode()
        self._keys = keys

    async def answer(self, body: bytes, host_header: str, accept: str) -> BootstrapAnswer:
        """The answer to one request."""
        found: dict[ResourceKey, Resource] = {}
        for key in bootstrap_service.wanted(body):
            try:
                found[key] = await self._store.get(key)
            except NotFound:
                continue
        facts = BootstrapFacts(
            settings=self._settings,
            port=self._settings.dp_server_port,
            certificate_names=self._names,
            ca_pem=self._ca_pem,
            keys=self._keys(),
            now=time.time(),
            lookup=found.get,
        )
        return bootstrap_service.answer(body, accept=accept, host_header=host_header, facts=facts)
