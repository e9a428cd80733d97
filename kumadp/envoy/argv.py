"""Envoy's command line and environment. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

from kumadp.settings import DpSettings


def envoy_argv(settings: DpSettings, binary: Path, bootstrap: Path) -> tuple[str, ...]:
    """Envoy's command line (contract 1.7)."""
    argv = [
        str(binary),
        "--config-path",
        str(bootstrap),
        "--drain-time-s",
        str(math.ceil(settings.drain_time)),
        "--drain-strategy",
        "immediate",
        "--disable-hot-restart",
        "--log-level",
        settings.envoy_log_level or settings.log_level,
    ]
    if settings.envoy_component_log_level:
        argv += ["--component-log-level", settings.envoy_component_log_level]
    if settings.concurrency:  # else as many as the CPU set allows, which is Envoy's default
        argv += ["--concurrency", str(settings.concurrency)]
    return tuple(argv)


def envoy_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment without our secrets: any user of the same id may read a process's environment."""
    return {
        name: value for name, value in environ.items() if not (name.startswith("KUMA_") and "TOKEN" in name)
    }
