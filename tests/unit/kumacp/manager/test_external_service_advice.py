"""What people are told when they store an ExternalService, or a gateway that is not served."""

from __future__ import annotations

from typing import Any

import pytest

import hub_world as world
from kumacp.manager import advice
from kumacp.manager.proxies import gateway_violations
from kumacp.manager.resource_driver import ResourceManager
from kumacp.settings import CpSettings
from kumacp.store.memory import MemoryStore
from kumamesh.resource import InvalidResource
from mesh_pki import Pki

PKI = Pki.create("default")
CERTIFICATE, KEY = PKI.identity("web")
SECRETS = {"ca": PKI.ca, "cert": CERTIFICATE, "key": KEY, "text": b"hello"}
CA = {"caCert": {"secret": "ca"}}


def told(tls: dict[str, Any] | None) -> list[str]:
    return list(advice.external_service_warnings(world.external_service("x", "httpbin", tls=tls), SECRETS))


@pytest.mark.parametrize(
    "tls", [None, CA, {**CA, "clientCert": {"secret": "cert"}, "clientKey": {"secret": "key"}}]
)
def test_what_works_is_stored_without_a_word(tls: dict[str, Any] | None) -> None:
    assert told(tls) == []


@pytest.mark.parametrize(
    ("tls", "part"),
    [
        ({"enabled": False, **CA}, "has no effect unless enabled is true"),
        ({"caCert": {"secret": "gone"}}, 'names the Secret "gone", which the mesh does not have; until'),
        ({"caCert": {"secret": "text"}}, "networking.tls.caCert is not a certificate in PEM form; until"),
        ({}, "networking.tls.caCert: is not set"),
        (
            {**CA, "clientCert": {"secret": "cert"}},
            "networking.tls.clientCert: has no effect without clientKey",
        ),
        (
            {**CA, "clientKey": {"secret": "key"}},
            "networking.tls.clientKey: has no effect without clientCert",
        ),
    ],
)
def test_what_works_otherwise_than_it_looks_is_told(tls: dict[str, Any], part: str) -> None:
    (warning,) = told(tls)
    assert part in warning


def test_a_key_in_the_resource_itself_is_told_but_not_shown() -> None:
    tls = {**CA, "clientCert": {"secret": "cert"}, "clientKey": {"inlineString": KEY.decode()}}
    (warning,) = told(tls)
    assert "can be read by everybody who may read this resource" in warning
    assert KEY.decode()[40:60] not in warning


async def test_the_manager_looks_at_the_secrets_of_the_mesh() -> None:
    store = MemoryStore()
    manager = ResourceManager(store, CpSettings(zone_name="east"))
    await store.create(world.mesh())
    await store.create(world.mesh("other"))
    await store.create(world.secret("ca", PKI.ca, mesh="other"))
    service = world.external_service("x", "httpbin", tls=CA)
    (warning,) = (await manager.put(service)).warnings
    assert 'names the Secret "ca", which the mesh does not have' in warning
    await store.create(world.secret("ca", PKI.ca))
    assert (await manager.put(service)).warnings == ()


async def test_a_builtin_gateway_is_refused_and_a_delegated_one_is_not() -> None:
    store = MemoryStore()
    manager = ResourceManager(store, CpSettings(zone_name="east"))
    await store.create(world.mesh())
    tags = {"kuma.io/service": "edge"}
    delegated = world.dataplane("gw", gateway={"tags": tags})
    assert gateway_violations(delegated.spec) == ()
    assert (await manager.put(delegated)).created
    with pytest.raises(InvalidResource, match=r"networking\.gateway\.type: BUILTIN is not served"):
        await manager.put(world.dataplane("gw-2", gateway={"type": "BUILTIN", "tags": tags}))
