"""The role of the control plane and what is refused before anything starts."""

from __future__ import annotations

import dataclasses

import pytest

from kumacp.mode import role
from kumacp.settings import CpSettings
from kumamesh.errors import UserError
from kumamesh.settings import Origin, resolve


def _settings(**changes: str) -> CpSettings:
    return dataclasses.replace(CpSettings(), **changes)  # type: ignore[arg-type]  # only texts are changed


def test_a_zone_stands_alone_by_default() -> None:
    assert role(CpSettings()).zone == "default"
    assert role(_settings(zone_name="us-east.1")).zone == "us-east.1"


@pytest.mark.parametrize("mode", ["standalone", "remote"])
def test_old_names_work_with_a_notice(mode: str) -> None:
    found = role(_settings(mode=mode))
    assert found.notices == (f"KUMA_MODE={mode} is an old name; use KUMA_MODE=zone",)
    assert (found.mode, found.zone, found.federated) == ("zone", "default", False)


@pytest.mark.parametrize(
    ("address", "target", "tls"),
    [
        ("grpcs://global.example:7000", "global.example:7000", True),
        ("grpcs://global.example", "global.example:5685", True),
        ("grpcs://[2001:db8::1]:5685", "[2001:db8::1]:5685", True),
        ("grpc://10.0.0.1:5685/", "10.0.0.1:5685", False),
    ],
)
def test_a_zone_with_a_global_address_is_federated(address: str, target: str, tls: bool) -> None:
    found = role(_settings(zone_name="zone-1", zone_global_address=address))
    assert found.federated
    assert (found.zone, found.global_target, found.global_tls) == ("zone-1", target, tls)
    assert bool(found.notices) is not tls, "secrets in plain text are worth a notice"


def test_a_global_control_plane_has_no_zone() -> None:
    found = role(_settings(mode="global"))
    assert (found.is_global, found.zone, found.federated) == (True, "", False)


@pytest.mark.parametrize(
    "given",
    [
        {"KUMA_MULTIZONE_ZONE_NAME": "zone-1"},
        {"KUMA_MULTIZONE_ZONE_NAME": "default"},
        {"KUMA_MULTIZONE_ZONE_GLOBAL_ADDRESS": "grpcs://other:5685"},
    ],
)
def test_a_global_control_plane_refuses_what_belongs_to_a_zone(given: dict[str, str]) -> None:
    resolved = resolve(CpSettings, environ={"KUMA_MODE": "global", **given})
    (variable,) = given
    with pytest.raises(UserError, match=f"{variable}=.* cannot be set with KUMA_MODE=global"):
        role(resolved.settings, resolved.origins)


def test_a_default_that_nobody_gave_is_no_zone_name() -> None:
    resolved = resolve(CpSettings, environ={"KUMA_MODE": "global"})
    assert resolved.origins["zone_name"] is Origin.DEFAULT
    assert role(resolved.settings, resolved.origins).is_global


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mode": "universe"}, "KUMA_MODE=universe is no mode. Available modes: zone, global"),
        ({"zone_name": "Zone_1"}, "KUMA_MULTIZONE_ZONE_NAME"),
        ({"zone_name": "z" * 64}, "at most 63"),
        ({"zone_global_address": "https://global:5685"}, "must start with grpc:// or grpcs://"),
        ({"zone_global_address": "grpcs://:5685"}, "must be a host and a port"),
        ({"zone_global_address": "grpcs://global:0"}, "must be a host and a port"),
        ({"zone_global_address": "grpcs://global:99999"}, "must be a host and a port"),
        ({"zone_global_address": "grpcs://global:5685/kds"}, "must be a host and a port"),
    ],
)
def test_what_cannot_work_is_refused_with_the_remedy(changes: dict[str, str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        role(_settings(**changes))


def test_a_password_in_the_address_is_not_repeated() -> None:
    with pytest.raises(UserError, match="without user or password") as refused:
        role(_settings(zone_global_address="grpcs://me:hunter2@global:5685"))
    assert "hunter2" not in str(refused.value)
