"""The start of `kuma-cp run`; what then runs side by side is in `zone_app` and `global_app`."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from contextlib import AsyncExitStack
from typing import Protocol

from kumacp.mode import Role, role
from kumacp.settings import CpSettings
from kumamesh import logs
from kumamesh.logs import Levels
from kumamesh.os_process import dump_no_core
from kumamesh.settings import Resolved
from kumamesh.version import VERSION

_log = logging.getLogger(__name__)


class Plane(Protocol):
    """A control plane of one mode, listening."""

    async def serve(self, stopping: asyncio.Event) -> None:
        """Until `stopping`; UserError when a part ends by itself."""


class Start(Protocol):
    """Starts a plane; the stack ends what was started, also when a later part cannot start."""

    async def __call__(
        self, settings: CpSettings, checked: Role, levels: Levels, stack: AsyncExitStack
    ) -> Plane: ...


def start(resolved: Resolved[CpSettings]) -> None:
    """Run until SIGTERM or SIGINT; UserError when it cannot start or a part of it ends by itself."""
    # gRPC must not write its own lines to our log, and must find names as the host does.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    os.environ.setdefault("GRPC_DNS_RESOLVER", "native")
    settings = resolved.settings
    checked = role(settings, resolved.origins)
    dump_no_core()
    levels = logs.configure(settings.log_level, settings.log_format, package="kumacp")
    for notice in (*resolved.warnings, *checked.notices):
        _log.warning("%s", notice)
    named = {} if checked.is_global else {"zone": checked.zone}
    _log.info("kuma-cp is starting", extra={"version": VERSION, "mode": checked.mode, **named})
    asyncio.run(_run(_start_of(checked), settings, checked, levels))


def _start_of(checked: Role) -> Start:
    """Imported here: neither needs the rooms of the other."""
    if checked.is_global:
        from kumacp.global_app import GlobalPlane

        return GlobalPlane.start
    from kumacp.zone_app import ZonePlane

    return ZonePlane.start


async def _run(start_plane: Start, settings: CpSettings, checked: Role, levels: Levels) -> None:
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    async with AsyncExitStack() as stack:
        plane = await start_plane(settings, checked, levels, stack)
        await plane.serve(stopping)
