"""What a proxy would have is what it has, and showing it leaves no trace."""

from __future__ import annotations

from typing import Any

import pytest

import hub_world as world
from kumacp.xds.hub import Hub
from kumacp.xds.model import PrincipalRbac, ProxyMetadata
from kumamesh.resource import Resource
from kumamesh.xds import CLUSTER, LISTENER, SECRET

WEB = world.key("web")


def _resources() -> list[Resource]:
    web = world.dataplane(
        "web", inbounds=[world.inbound("web")], outbounds={10001: "backend", 10002: "nobody"}
    )
    backend = world.dataplane("b1", address="10.0.1.1", inbounds=[world.inbound("backend")])
    return [world.mesh(mode="STRICT"), world.ca(), world.traffic_permission("p", "a", "*"), web, backend]


@pytest.fixture
def hub() -> Hub:
    made = Hub("east", world.build, world.permission)
    made.load(_resources())
    return made


def _shown(configuration: Any) -> dict[str, dict[str, bytes]]:
    return {
        type_url: {name: resource.body for name, resource in resources.items()}
        for type_url, resources in configuration.items()
    }


def _nobody(*_: Any, http: bool, **__: Any) -> PrincipalRbac:
    return PrincipalRbac(allow=(), http=http)


def test_a_connected_proxy_has_what_is_shown_of_it(hub: Hub) -> None:
    hub.connect(WEB, world.METADATA)
    (request,) = hub.identity_requests()
    hub.set_identity(WEB, world.identity(request), request)
    held = _shown(hub.desired(WEB))
    assert len(held[SECRET]) == 2
    assert _shown(hub.preview(WEB)) == held
    assert _shown(hub.desired(WEB)) == held


def test_what_another_rule_would_change_is_shown_and_not_done(hub: Hub) -> None:
    hub.connect(WEB, world.METADATA)
    held = _shown(hub.desired(WEB))
    shown = _shown(hub.preview(WEB, _nobody))
    different = {
        (type_url, name)
        for type_url, resources in shown.items()
        for name, body in resources.items()
        if held[type_url][name] != body
    }
    assert different == {(LISTENER, "inbound:10.0.0.1:8080")}
    assert shown.keys() == held.keys()
    assert _shown(hub.desired(WEB)) == held


@pytest.mark.parametrize("connected", [True, False])
def test_nothing_is_held_nor_asked_for_afterwards(hub: Hub, connected: bool) -> None:
    if connected:
        hub.connect(WEB, world.METADATA)
        hub.identity_requests()
    before = hub.counters
    hub.preview(WEB, _nobody)
    after = hub.counters
    assert (after.held, after.woken) == (before.held, before.woken)
    assert hub.identity_requests() == ()
    touched = hub.apply([world.Writer().put(world.traffic_permission("q", "b", "*"))])
    assert set(touched) == ({WEB} if connected else set())
    hub.disconnect(WEB)
    assert hub.counters.held == 0


def test_of_a_proxy_that_is_not_connected_all_is_shown_but_what_it_would_tell(hub: Hub) -> None:
    shown = _shown(hub.preview(WEB))
    hub.connect(WEB, ProxyMetadata())
    assert shown == _shown(hub.desired(WEB))
    assert "backend" in shown[CLUSTER]


@pytest.mark.parametrize("proxy", [world.key("other"), world.key("web", "other")])
def test_a_proxy_that_is_not_known_is_an_error(hub: Hub, proxy: Any) -> None:
    with pytest.raises(KeyError):
        hub.preview(proxy)
