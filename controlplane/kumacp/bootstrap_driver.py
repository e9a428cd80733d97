"""Fetches what the bootstrap decision needs from the store and asks it."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, cast

from kumacp import bootstrap_service
from kumacp.bootstrap_service import BootstrapAnswer, BootstrapFacts
from kumacp.identity.server_cert import subject_names
from kumacp.identity.signing_keys import KeyRing
from kumacp.settings import CpSettings
from kumacp.store.api import NotFound, Store
from kumamesh.resource import Resource, ResourceKey

LIGHT_BODY_BYTES = 64 * 2**10
"""Answered in a millisecond or two. Larger ones take up to seconds, and anybody may send them: one at a time,
and not in the event loop."""

Call = Callable[[Callable[[bytes], Any], bytes], Awaitable[Any]]


class BootstrapDriver:
    """`certificate` is the PEM file of the data-plane server, read again when it changes; `keys` gives the
    signing keys as they are stored now."""

    def __init__(
        self, settings: CpSettings, store: Store, certificate: Path, keys: Callable[[], KeyRing]
    ) -> None:
        self._settings = settings
        self._store = store
        self._certificate = certificate
        self._pem = certificate.read_bytes()
        self._names = subject_names(self._pem)
        self._keys = keys
        self._heavy = asyncio.Lock()

    async def answer(self, body: bytes, host_header: str, accept: str) -> BootstrapAnswer:
        """The answer to one request."""
        if len(body) <= LIGHT_BODY_BYTES:
            return await self._answer(body, host_header, accept, _at_once)
        async with self._heavy:
            return await self._answer(body, host_header, accept, asyncio.to_thread)

    async def _answer(self, body: bytes, host_header: str, accept: str, call: Call) -> BootstrapAnswer:
        found: dict[ResourceKey, Resource] = {}
        for key in await call(bootstrap_service.wanted, body):
            try:
                found[key] = await self._store.get(key)
            except NotFound:
                continue
        self._refresh_certificate()
        facts = BootstrapFacts(
            settings=self._settings,
            port=self._settings.dp_server_port,
            certificate_names=self._names,
            ca_pem=self._pem.decode(),
            keys=self._keys(),
            now=time.time(),
            lookup=found.get,
        )
        answer = functools.partial(
            bootstrap_service.answer, accept=accept, host_header=host_header, facts=facts
        )
        return cast(BootstrapAnswer, await call(answer, body))

    def _refresh_certificate(self) -> None:
        """While the file is being replaced, the certificate before is the one that the servers have, too."""
        with contextlib.suppress(OSError, ValueError):
            pem = self._certificate.read_bytes()
            if pem != self._pem:
                self._names, self._pem = subject_names(pem), pem


async def _at_once(function: Callable[[bytes], Any], body: bytes) -> Any:
    return function(body)
