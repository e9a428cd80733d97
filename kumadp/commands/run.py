"""`kuma-dp run`."""

from __future__ import annotations

import logging
import os
from typing import Any

import click

from kumadp import host_disk, name_serving, plan
from kumadp.envoy.binary import find_envoy
from kumadp.envoy.version_process import VersionProbe
from kumadp.settings import DpSettings
from kumadp.token import VISIBLE_WARNING
from kumamesh import commands, logs
from kumamesh.options import add_flags
from kumamesh.settings import Origin, resolve

log = logging.getLogger(__name__)


@click.command(cls=commands.Command)
@add_flags(DpSettings)
@click.pass_obj
def run(log_level: str | None, /, **flags: Any) -> int:
    """Run a proxy: Envoy, configured by the control plane."""
    flags["log_level"] = flags["log_level"] or log_level
    resolved = resolve(DpSettings, flags=flags, environ=os.environ)
    settings = resolved.settings
    logs.configure(settings.log_level)
    for warning in resolved.warnings:
        log.warning("%s", warning)
    plan.check(settings)
    name_serving.check(resolved)
    for warning in name_serving.warnings(resolved):
        log.warning("%s", warning)
    if resolved.origins["token"] is Origin.FLAG:
        click.echo(f"Warning: {VISIBLE_WARNING}", err=True)
    probe = VersionProbe(find_envoy(settings.binary_path))
    try:
        text, source = host_disk.resource_text(settings)
        transparent = name_serving.transparent_proxy(
            settings, host_disk.transparent_proxy_documents(settings)
        )
        # Envoy's answer about its version comes while this is imported.
        from kumadp import agent
        from kumadp.preparation_driver import Inputs

        end = agent.run(resolved, probe, Inputs(text, source, transparent))
    finally:
        probe.close()
    if end.reason:
        click.echo(f"Error: {end.reason}", err=True)
    return end.code
