"""Which role the control plane plays, checked before anything starts (kuma-cp 1.7, 0.2 C10)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal
from urllib.parse import urlsplit

from kumacp.settings import CpSettings
from kumamesh.errors import EXIT_USAGE, UserError
from kumamesh.settings import Origin

KDS_PORT = 5685
ZONE_ALIASES = ("standalone", "remote")
ZONE_ONLY = {
    "zone_name": "KUMA_MULTIZONE_ZONE_NAME",
    "zone_global_address": "KUMA_MULTIZONE_ZONE_GLOBAL_ADDRESS",
}
_NOT_GIVEN: Mapping[str, Origin] = MappingProxyType({})
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_NAME = re.compile(rf"{_LABEL.pattern}(\.{_LABEL.pattern})*")


@dataclass(frozen=True, slots=True)
class Role:
    """The checked role. `zone` is empty on global, `global_address` there and in a zone that stands alone;
    `notices` are for the person who started it."""

    mode: Literal["zone", "global"]
    zone: str = ""
    global_address: str = ""
    notices: tuple[str, ...] = ()

    @property
    def is_global(self) -> bool:
        return self.mode == "global"

    @property
    def federated(self) -> bool:
        """A zone that takes its meshes and policies from a global control plane."""
        return bool(self.global_address)

    @property
    def global_target(self) -> str:
        """host:port to dial; IPv6 addresses in brackets."""
        return _target(self.global_address)

    @property
    def global_tls(self) -> bool:
        return self.global_address.startswith("grpcs://")


def role(settings: CpSettings, origins: Mapping[str, Origin] = _NOT_GIVEN) -> Role:
    """The role that the settings ask for; UserError with the variable to change when there is none.

    `origins` says which of them somebody gave: a default given by hand counts as given.
    """
    if settings.mode == "global":
        _check_nothing_of_a_zone(settings, origins)
        return Role("global")
    if settings.mode not in ("zone", *ZONE_ALIASES):
        raise _wrong(f"KUMA_MODE={settings.mode} is no mode. Available modes: zone, global")
    check_zone_name(settings.zone_name, "KUMA_MULTIZONE_ZONE_NAME")
    if settings.zone_global_address:
        _check_global_address(settings.zone_global_address)
    return Role("zone", settings.zone_name, settings.zone_global_address, tuple(_notices(settings)))


def is_zone_name(name: str) -> bool:
    """Whether a zone may be called so: the form of a DNS name with at most 63 characters."""
    return len(name) <= 63 and _NAME.fullmatch(name) is not None


def check_zone_name(name: str, variable: str) -> None:
    """UserError that names the variable when no zone can be called so."""
    if not is_zone_name(name):
        raise _wrong(
            f"{variable}={name!r} is no name for a zone: use at most 63 lower-case letters, digits, dashes"
            " and dots, such as zone-1"
        )


def _notices(settings: CpSettings) -> Iterator[str]:
    if settings.mode in ZONE_ALIASES:
        yield f"KUMA_MODE={settings.mode} is an old name; use KUMA_MODE=zone"
    if settings.zone_global_address.startswith("grpc://"):
        yield (
            "KUMA_MULTIZONE_ZONE_GLOBAL_ADDRESS begins with grpc://: secrets and policies pass unencrypted;"
            " use grpcs://"
        )


def _check_nothing_of_a_zone(settings: CpSettings, origins: Mapping[str, Origin]) -> None:
    for name, variable in ZONE_ONLY.items():
        value = getattr(settings, name)
        given = origins.get(name, Origin.DEFAULT) is not Origin.DEFAULT
        if given or value != getattr(CpSettings, name):
            raise _wrong(
                f"{variable}={value} cannot be set with KUMA_MODE=global: a global control plane has no zone;"
                " unset it, or use KUMA_MODE=zone"
            )


def _check_global_address(address: str) -> None:
    variable = "KUMA_MULTIZONE_ZONE_GLOBAL_ADDRESS"
    example = f"for example grpcs://global.example:{KDS_PORT}"
    if not address.startswith(("grpc://", "grpcs://")):
        raise _wrong(f"{variable}={address} must start with grpc:// or grpcs://, {example}")
    try:
        parts = urlsplit(address)
        plain = bool(parts.hostname) and parts.port != 0 and not (parts.path.strip("/") or parts.query)
    except ValueError:
        plain = False
    if "@" in address:
        raise _wrong(f"{variable} must be a host and a port without user or password, {example}")
    if not plain:
        raise _wrong(f"{variable}={address} must be a host and a port, {example}")


def _target(address: str) -> str:
    parts = urlsplit(address)
    host = parts.hostname or ""
    return f"[{host}]:{parts.port or KDS_PORT}" if ":" in host else f"{host}:{parts.port or KDS_PORT}"


def _wrong(text: str) -> UserError:
    return UserError(text, exit_code=EXIT_USAGE)
