"""The control plane's options, named as Kuma 2.13 names them (kuma-cp 1; contract 10.1)."""

from __future__ import annotations

from dataclasses import dataclass

from kumacp.settings.access import AccessSettings
from kumacp.settings.api import ApiSettings
from kumacp.settings.diagnostics import DiagnosticsSettings
from kumacp.settings.dns import DnsSettings
from kumacp.settings.dp_server import DpServerSettings
from kumacp.settings.general import GeneralSettings
from kumacp.settings.multizone import GlobalSettings, ZoneSettings


@dataclass(frozen=True)
class CpSettings(
    GlobalSettings,
    ZoneSettings,
    DpServerSettings,
    ApiSettings,
    AccessSettings,
    DiagnosticsSettings,
    DnsSettings,
    GeneralSettings,
):
    """Everything that `kuma-cp run` can be told."""
