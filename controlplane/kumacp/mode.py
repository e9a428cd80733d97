"""Which role the control plane plays, checked before anything starts (kuma-cp 1.7, 0.2 C10)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from kumacp.settings import CpSettings
from kumamesh.errors import EXIT_USAGE, UserError

ZONE_ALIASES = ("standalone", "remote")
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_NAME = re.compile(rf"{_LABEL.pattern}(\.{_LABEL.pattern})*")


@dataclass(frozen=True, slots=True)
class Role:
    """The checked role: the zone's name, and what to tell the person who started it."""

    zone: str
    notices: tuple[str, ...] = ()


def role(settings: CpSettings) -> Role:
    """The role that the settings ask for; UserError with the variable to change when there is none."""
    notices: tuple[str, ...] = ()
    if settings.mode in ZONE_ALIASES:
        notices = (f"KUMA_MODE={settings.mode} is an old name; use KUMA_MODE=zone",)
    elif settings.mode == "global":
        raise UserError(
            "KUMA_MODE=global is not served by this version; run zones alone with KUMA_MODE=zone",
            exit_code=EXIT_USAGE,
        )
    elif settings.mode != "zone":
        raise UserError(
            f"KUMA_MODE={settings.mode} is no mode. Available modes: zone, global", exit_code=EXIT_USAGE
        )
    _check_zone_name(settings.zone_name)
    _check_global_address(settings.zone_global_address)
    return Role(settings.zone_name, notices)


def _check_zone_name(name: str) -> None:
    if len(name) > 63 or not _NAME.fullmatch(name):
        raise UserError(
            f"KUMA_MULTIZONE_ZONE_NAME={name!r} is no name for a zone: use at most 63 lower-case letters,"
            " digits, dashes and dots, such as zone-1",
            exit_code=EXIT_USAGE,
        )


def _check_global_address(address: str) -> None:
    if not address:
        return
    if not address.startswith(("grpc://", "grpcs://")):
        raise UserError(
            f"KUMA_MULTIZONE_ZONE_GLOBAL_ADDRESS={address} must start with grpc:// or grpcs://,"
            " for example grpcs://global.example:5685",
            exit_code=EXIT_USAGE,
        )
    raise UserError(
        "joining a global control plane is not served by this version; unset"
        " KUMA_MULTIZONE_ZONE_GLOBAL_ADDRESS and the zone runs alone",
        exit_code=EXIT_USAGE,
    )
