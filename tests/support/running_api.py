"""A REST API on free loopback ports, and kumactl to use it."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import io
import logging
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from unittest import mock

from kumacp.api.application import InstanceFacts
from kumacp.api.aspects_endpoints import Proxies
from kumacp.api.server import ApiServer
from kumacp.defaults_driver import ensure_defaults
from kumacp.identity.server_cert_disk import ensure_server_certificate
from kumacp.identity.signing_keys import KeyRing
from kumacp.identity.signing_keys_disk import load_public_keys
from kumacp.manager.resource_driver import ResourceManager
from kumacp.settings import CpSettings
from kumacp.store.memory import MemoryStore
from kumactl.cli import run
from kumamesh.resource import Resource
from kumamesh.resources.registry import TYPES

LOOPBACK = CpSettings(
    api_http_interface="127.0.0.1",
    api_http_port=0,
    api_https_interface="127.0.0.1",
    api_https_port=0,
    diagnostics_interface="127.0.0.1",
    diagnostics_port=0,
)


@dataclasses.dataclass(frozen=True)
class RunningApi:
    """A started server with what lies behind it."""

    server: ApiServer
    store: MemoryStore
    manager: ResourceManager
    certificate: Path
    settings: CpSettings

    @property
    def http_url(self) -> str:
        return f"http://localhost:{self.server.http_port}"

    @property
    def https_url(self) -> str:
        return f"https://localhost:{self.server.https_port}"

    async def key_ring(self) -> KeyRing:
        return KeyRing(
            [*await self.store.list("Secret"), *await self.store.list("GlobalSecret")],
            static_user_keys=load_public_keys(self.settings.user_token_public_keys),
            use_user_secrets=self.settings.user_token_validator_use_secrets,
            federated=bool(self.settings.zone_global_address),
        )


_FIRST_START: list[Resource] = []


async def _first_start() -> list[Resource]:
    """What a first start makes; made once, because RSA keys take their time."""
    if not _FIRST_START:
        store = MemoryStore()
        await ensure_defaults(store, ResourceManager(store, LOOPBACK), LOOPBACK)
        for type_ in TYPES:
            _FIRST_START.extend(await store.list(type_))
        await store.close()
    return _FIRST_START


@contextlib.asynccontextmanager
async def running_api(
    work_dir: Path, *, proxies: Proxies | None = None, **overrides: Any
) -> AsyncIterator[RunningApi]:
    """With the resources of a first start."""
    settings = dataclasses.replace(LOOPBACK, work_dir=work_dir, **overrides)
    store = MemoryStore()
    manager = ResourceManager(store, settings)
    await store.create_all(await _first_start())
    certificate = ensure_server_certificate(work_dir, None, None)

    async def key_rings() -> KeyRing:
        return await api.key_ring()

    facts = InstanceFacts(hostname="host-1", instance_id="instance-1", cluster_id="cluster-1")
    paths = (certificate.cert_path, certificate.key_path)
    server = ApiServer(settings, store, manager, key_rings, facts, certificate=paths, proxies=proxies)
    api = RunningApi(server, store, manager, certificate.cert_path, settings)
    await server.start()
    try:
        yield api
    finally:
        await server.stop()
        await store.close()


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a program ended."""

    code: int
    out: str
    err: str


class Kumactl:
    """Runs kumactl with a home of its own: in this process, which is fast, or as the program."""

    def __init__(self, home: Path) -> None:
        self.home = home

    async def __call__(self, *args: str, stdin: str = "") -> Outcome:
        """In a thread, so that a server of this process can answer."""
        return await asyncio.to_thread(self._run, args, stdin)

    async def program(self, *args: str, stdin: str = "") -> Outcome:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "kumactl",
            *args,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, "HOME": str(self.home)},
        )
        out, err = await process.communicate(stdin.encode())
        assert process.returncode is not None
        return Outcome(process.returncode, out.decode(), err.decode())

    def _run(self, args: tuple[str, ...], stdin: str) -> Outcome:
        out, err = io.StringIO(), io.StringIO()
        logger = logging.getLogger()
        handlers, level = logger.handlers[:], logger.level
        with (
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            mock.patch.object(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode()))),
            mock.patch.dict(os.environ, HOME=str(self.home)),
        ):
            code = run(list(args))
        logger.handlers[:] = handlers
        logger.setLevel(level)
        return Outcome(code, out.getvalue(), err.getvalue())
