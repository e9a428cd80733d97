"""The role of the control plane and what is refused before anything starts."""

from __future__ import annotations

import dataclasses

import pytest

from kumacp.mode import role
from kumacp.settings import CpSettings
from kumamesh.errors import UserError


def _settings(**changes: str) -> CpSettings:
    return dataclasses.replace(CpSettings(), **changes)  # type: ignore[arg-type]  # only texts are changed


def test_a_zone_stands_alone_by_default() -> None:
    assert role(CpSettings()).zone == "default"
    assert role(_settings(zone_name="us-east.1")).zone == "us-east.1"


@pytest.mark.parametrize("mode", ["standalone", "remote"])
def test_old_names_work_with_a_notice(mode: str) -> None:
    assert role(_settings(mode=mode)).notices == (f"KUMA_MODE={mode} is an old name; use KUMA_MODE=zone",)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mode": "universe"}, "KUMA_MODE=universe is no mode. Available modes: zone, global"),
        ({"mode": "global"}, "KUMA_MODE=global"),
        ({"zone_name": "Zone_1"}, "KUMA_MULTIZONE_ZONE_NAME"),
        ({"zone_name": "z" * 64}, "at most 63"),
        ({"zone_global_address": "https://global:5685"}, "must start with grpc:// or grpcs://"),
        ({"zone_global_address": "grpcs://global:5685"}, "unset KUMA_MULTIZONE_ZONE_GLOBAL_ADDRESS"),
    ],
)
def test_what_cannot_work_is_refused_with_the_remedy(changes: dict[str, str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        role(_settings(**changes))
