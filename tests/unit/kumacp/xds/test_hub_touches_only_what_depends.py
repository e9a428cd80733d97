from __future__ import annotations

from typing import Any

import pytest

import hub_world as world
from kumacp.xds.hub import Counters, Hub
from kumacp.xds.model import ProxyMetadata, UnitInput
from kumacp.xds.proxy import Touched
from kumamesh.resource import Resource, ResourceKey
from kumamesh.xds import CLUSTER, ENDPOINT, EXTENSION, LISTENER, SECRET, XdsResource

WEB = world.key("web")


class Site:
    """A hub, the resources behind it, and the inputs it had built."""

    def __init__(self, *resources: Resource) -> None:
        self.inputs: list[UnitInput] = []
        self.hub = Hub("east", self._build, world.permission)
        self.writer = world.Writer()
        for resource in resources:
            self.writer.put(resource)
        self.hub.load(resources)

    def put(self, *resources: Resource) -> Touched:
        self.inputs.clear()
        return self.hub.apply([self.writer.put(resource) for resource in resources])

    def delete(self, *keys: ResourceKey) -> Touched:
        self.inputs.clear()
        return self.hub.apply([change for key in keys if (change := self.writer.delete(key))])

    def issue(self) -> Touched:
        touched: dict[ResourceKey, dict[str, frozenset[str]]] = {}
        for request in self.hub.identity_requests():
            for proxy, types in self.hub.set_identity(
                request.proxy, world.identity(request), request
            ).items():
                touched[proxy] = dict(types)
        return touched

    def body(self, type_url: str, name: str, proxy: ResourceKey = WEB) -> str:
        return self.hub.desired(proxy)[type_url][name].body.decode()

    def _build(self, input_: UnitInput) -> XdsResource:
        self.inputs.append(input_)
        return world.build(input_)


def backend(name: str = "b1", address: str = "10.0.1.1", **more: Any) -> Resource:
    return world.dataplane(name, address=address, inbounds=[world.inbound("backend", **more)])


def web(name: str = "web", **outbounds: str) -> Resource:
    return world.dataplane(
        name,
        address="10.0.0.1",
        inbounds=[world.inbound("web")],
        outbounds={int(port[1:]): service for port, service in (outbounds or {"p20000": "backend"}).items()},
    )


def site(*resources: Resource) -> Site:
    made = Site(web(), backend(), world.mesh(), *resources)
    made.hub.connect(WEB, world.METADATA)
    return made


def test_a_connected_proxy_has_everything_of_its_plan() -> None:
    desired = site().hub.desired(WEB)
    assert {type_url: set(names) for type_url, names in desired.items() if names} == {
        CLUSTER: {"backend", "localhost:8080", "kuma:envoy:admin", "kuma:readiness"},
        ENDPOINT: {"backend"},
        EXTENSION: {"kuma:source-tags"},
        LISTENER: {"inbound:10.0.0.1:8080", "outbound:127.0.0.1:20000"},
    }


def test_an_endpoint_rebuilds_one_assignment_and_wakes_its_subscribers_only() -> None:
    made = site(web("other", p20000="redis"), web("web2", p20009="backend"))
    for name in ("other", "web2"):
        made.hub.connect(world.key(name), world.METADATA)
    touched = made.put(backend("b2", "10.0.1.2"))
    assert touched == {proxy: {ENDPOINT: frozenset({"backend"})} for proxy in (WEB, world.key("web2"))}
    assert [(input_.type_url, input_.name) for input_ in made.inputs] == [(ENDPOINT, "backend")]
    assert "10.0.1.2" in made.body(ENDPOINT, "backend")
    assert (
        made.hub.desired(WEB)[ENDPOINT]["backend"] is made.hub.desired(world.key("web2"))[ENDPOINT]["backend"]
    )


@pytest.mark.parametrize(
    "unrelated",
    [
        world.insight("b1", "ca-1"),
        world.insight("web", "ca-1", regenerations=3),
        world.secret("mine", b"x"),
        world.ca(b"other root", backend="ca-2"),
        world.mesh("other", mode="STRICT"),
        world.dataplane("b9", mesh="other", inbounds=[world.inbound("backend")]),
        world.dataplane("x1", inbounds=[world.inbound("unused")]),
        world.traffic_permission("others", "a", "b"),
        Resource(world.key("b1"), backend().spec, version=9),
    ],
    ids=lambda resource: f"{resource.type}-{resource.name}",
)
def test_an_unrelated_write_wakes_nobody_and_builds_nothing(unrelated: Resource) -> None:
    made = site(world.insight("b1", "ca-1"), world.ca())
    made.put(world.mesh(mode="STRICT"))
    made.issue()
    before = made.hub.counters
    assert made.put(unrelated) == {}
    assert made.hub.counters == before
    assert made.inputs == []


def test_proxies_with_equal_inputs_share_their_resources() -> None:
    made = site(web("web2"))
    before = made.hub.counters
    made.hub.connect(world.key("web2"), world.METADATA)
    after = made.hub.counters
    assert after == Counters(before.built, before.reused + 8, before.woken, before.held)
    for type_url, names in made.hub.desired(WEB).items():
        for name, resource in names.items():
            assert made.hub.desired(world.key("web2"))[type_url][name] is resource


def test_the_restart_of_the_only_instance_rebuilds_neither_listener_nor_cluster() -> None:
    made = site()
    assert made.delete(world.key("b1")) == {WEB: {ENDPOINT: frozenset({"backend"})}}
    assert "endpoints=()" in made.body(ENDPOINT, "backend")
    assert made.put(backend(address="10.0.1.9")) == {WEB: {ENDPOINT: frozenset({"backend"})}}
    assert {input_.type_url for input_ in made.inputs} == {ENDPOINT}


def test_a_service_that_appears_changes_protocol_of_listener_and_cluster_and_gets_a_new_assignment() -> None:
    made = Site(web())
    made.hub.connect(WEB, world.METADATA)
    assert "protocol='tcp'" in made.body(LISTENER, "outbound:127.0.0.1:20000")
    assert made.put(backend()) == {
        WEB: {
            CLUSTER: frozenset({"backend"}),
            ENDPOINT: frozenset({"backend"}),
            LISTENER: frozenset({"outbound:127.0.0.1:20000"}),
        }
    }
    assert "protocol='http'" in made.body(LISTENER, "outbound:127.0.0.1:20000")


def test_a_changed_cluster_changes_the_version_of_its_assignment() -> None:
    made = site(world.ca())
    made.put(world.mesh(mode="STRICT"))
    cluster = made.hub.desired(WEB)[CLUSTER]["backend"]
    assert f"cluster_version='{cluster.version}'" in made.body(ENDPOINT, "backend")


def test_mtls_touches_inbounds_clusters_and_secrets_but_not_outbound_listeners() -> None:
    made = site(world.ca())
    assert made.put(world.mesh(mode="STRICT")) == {
        WEB: {
            CLUSTER: frozenset({"backend"}),
            ENDPOINT: frozenset({"backend"}),
            LISTENER: frozenset({"inbound:10.0.0.1:8080"}),
            SECRET: frozenset({"mesh_ca:secret:default"}),
        }
    }
    made.issue()
    touched = made.put(world.mesh())
    assert touched[WEB][SECRET] == {"mesh_ca:secret:default", "identity_cert:secret:default"}
    assert made.hub.desired(WEB)[SECRET] == {}


def test_a_permission_touches_only_proxies_for_which_it_decides_differently() -> None:
    made = site(web("web2", p20000="redis"), world.ca())
    made.hub.connect(world.key("b1"), world.METADATA)
    made.put(world.mesh(mode="STRICT"))
    assert made.put(world.traffic_permission("p", "web", "backend")) == {
        world.key("b1"): {LISTENER: frozenset({"inbound:10.0.1.1:8080"})}
    }
    assert made.put(world.traffic_permission("q", "web", "nobody")) == {}
    assert made.delete(ResourceKey("TrafficPermission", "default", "p")) == {
        world.key("b1"): {LISTENER: frozenset({"inbound:10.0.1.1:8080"})}
    }


def test_permissions_touch_nobody_without_mtls() -> None:
    made = site()
    assert made.put(world.traffic_permission("p", "web", "*")) == {}
    assert made.inputs == []


def test_an_own_change_touches_what_it_changed_and_releases_what_it_dropped() -> None:
    made = site()
    held = made.hub.counters.held
    assert made.put(web(p20000="backend", p20001="redis")) == {
        WEB: {
            CLUSTER: frozenset({"redis"}),
            ENDPOINT: frozenset({"redis"}),
            LISTENER: frozenset({"outbound:127.0.0.1:20001"}),
        }
    }
    assert made.put(web()) == {
        WEB: {
            CLUSTER: frozenset({"redis"}),
            ENDPOINT: frozenset({"redis"}),
            LISTENER: frozenset({"outbound:127.0.0.1:20001"}),
        }
    }
    assert "redis" not in made.hub.desired(WEB)[CLUSTER]
    assert made.hub.counters.held == held


def test_a_proxy_that_connects_before_its_dataplane_gets_its_plan_with_it() -> None:
    made = Site(backend())
    made.hub.connect(WEB, world.METADATA)
    desired = made.hub.desired(WEB)
    assert not any(desired.values())
    touched = made.put(web())
    assert {type_url: frozenset(names) for type_url, names in desired.items() if names} == touched[WEB]


def test_a_proxy_whose_dataplane_is_deleted_keeps_what_it_has() -> None:
    made = site(world.ca())
    made.put(world.mesh(mode="STRICT"))
    made.issue()
    before = {type_url: dict(names) for type_url, names in made.hub.desired(WEB).items()}
    assert made.delete(WEB) == {}
    assert made.put(backend("b2", "10.0.1.2"), world.mesh()) == {}
    assert made.hub.desired(WEB) == before
    assert made.put(web())[WEB][ENDPOINT] == {"backend"}
    assert "10.0.1.2" in made.body(ENDPOINT, "backend")


def test_a_proxy_whose_dataplane_was_deleted_gets_a_new_certificate_with_it() -> None:
    made = site(world.ca())
    made.put(world.mesh(mode="STRICT"))
    (request,) = made.hub.identity_requests()
    made.hub.set_identity(WEB, world.identity(request), request)
    made.delete(WEB)
    assert made.hub.set_identity(WEB, world.identity(request, 2), request) == {}
    made.put(web())
    assert made.hub.identity_requests() == (request,)


def test_a_disconnected_proxy_is_forgotten_with_its_units() -> None:
    made = site()
    made.hub.disconnect(WEB)
    assert made.hub.counters.held == 0
    assert made.put(backend("b2", "10.0.1.2")) == {}
    assert made.inputs == []
    with pytest.raises(KeyError):
        made.hub.desired(WEB)


def test_connecting_again_starts_afresh_with_the_new_metadata() -> None:
    made = site()
    made.hub.connect(WEB, ProxyMetadata())
    assert set(made.hub.desired(WEB)[CLUSTER]) == {"backend", "localhost:8080"}
    made.hub.disconnect(WEB)
    assert made.hub.counters.held == 0


def test_identities_are_requested_once_and_appear_when_they_are_set() -> None:
    made = site(world.ca())
    assert made.hub.identity_requests() == ()
    made.put(world.mesh(mode="STRICT"))
    (request,) = made.hub.identity_requests()
    assert (request.proxy, request.services) == (WEB, ("web",))
    assert made.hub.identity_requests() == ()
    assert made.hub.set_identity(WEB, world.identity(request), request) == {
        WEB: {SECRET: frozenset({"identity_cert:secret:default"})}
    }
    assert made.hub.set_identity(WEB, world.identity(request, 2), request) == {
        WEB: {SECRET: frozenset({"identity_cert:secret:default"})}
    }


def test_the_old_certificate_stays_until_the_one_for_the_new_tags_is_set() -> None:
    made = site(world.ca())
    made.put(world.mesh(mode="STRICT"))
    made.issue()
    before = made.hub.desired(WEB)[SECRET]["identity_cert:secret:default"]
    made.put(world.dataplane("web", inbounds=[world.inbound("web", tags={"version": "v2"})]))
    assert made.hub.desired(WEB)[SECRET]["identity_cert:secret:default"] is before
    (request,) = made.hub.identity_requests()
    assert ("version", "v2") in request.tags
    made.hub.set_identity(WEB, world.identity(request), request)
    assert made.hub.desired(WEB)[SECRET]["identity_cert:secret:default"] is not before


def test_a_certificate_that_is_no_longer_wanted_is_ignored() -> None:
    made = site(world.ca())
    made.put(world.mesh(mode="STRICT"))
    (stale,) = made.hub.identity_requests()
    made.put(world.ca(b"another root"))
    assert made.hub.set_identity(WEB, world.identity(stale), stale) == {}
    (request,) = made.hub.identity_requests()
    assert request != stale
    assert made.hub.set_identity(world.key("nobody"), world.identity(request), request) == {}


def test_a_wish_that_came_back_to_what_is_set_requests_nothing() -> None:
    made = site(world.ca())
    made.put(world.mesh(mode="STRICT"))
    made.issue()
    made.put(world.ca(b"another root"))
    made.put(world.ca())
    assert made.hub.identity_requests() == ()


def test_permissive_switches_the_cluster_when_the_last_instance_reports_its_certificate() -> None:
    made = site(world.ca())
    touched = made.put(world.mesh(mode="PERMISSIVE"))
    assert CLUSTER not in touched[WEB]
    assert made.put(world.insight("b1", "ca-1")) == {
        WEB: {CLUSTER: frozenset({"backend"}), ENDPOINT: frozenset({"backend"})}
    }
    made.put(world.mesh(mode="STRICT"))
    assert {input_.type_url for input_ in made.inputs} == {LISTENER}


def test_the_count_of_woken_proxies() -> None:
    made = site(web("web2"))
    made.hub.connect(world.key("web2"), world.METADATA)
    before = made.hub.counters.woken
    made.put(backend("b2", "10.0.1.2"))
    assert made.hub.counters.woken == before + 2


def test_inputs_that_build_the_same_resource_touch_nobody() -> None:
    def constant(input_: UnitInput) -> XdsResource:
        return XdsResource(input_.type_url, input_.name, "1", b"")

    hub = Hub("east", constant, world.permission)
    hub.load([web(), backend()])
    hub.connect(WEB, world.METADATA)
    writer = world.Writer()
    assert hub.apply([writer.put(backend("b2", "10.0.1.2"))]) == {}


def test_certificates_are_issued_anew_when_mtls_was_off() -> None:
    made = site(world.ca())
    made.put(world.mesh(mode="STRICT"))
    made.issue()
    made.put(world.mesh())
    made.put(world.mesh(mode="STRICT"))
    assert "identity_cert:secret:default" not in made.hub.desired(WEB)[SECRET]
    assert len(made.hub.identity_requests()) == 1


def test_a_proxy_that_comes_back_finds_services_as_they_are_now() -> None:
    made = Site(web(), world.mesh(), world.ca())
    made.hub.connect(WEB, world.METADATA)
    made.delete(WEB)
    made.put(world.mesh(mode="STRICT"))
    assert made.put(web())[WEB][CLUSTER] == {"backend"}
    assert "tls=True" in made.body(CLUSTER, "backend")


def test_a_batch_may_change_a_service_and_the_outbounds_to_it_at_once() -> None:
    made = Site(web())
    made.hub.connect(WEB, world.METADATA)
    assert made.put(backend(), web(p20000="backend", p20001="backend"))[WEB] == {
        CLUSTER: frozenset({"backend"}),
        ENDPOINT: frozenset({"backend"}),
        LISTENER: frozenset({"outbound:127.0.0.1:20000", "outbound:127.0.0.1:20001"}),
    }


def test_an_endpoint_touches_subsets_of_its_service_only_if_it_belongs_to_them() -> None:
    subset = {"kuma.io/service": "backend", "version": "v1"}
    made = Site(world.dataplane("web", outbounds={20000: subset}), backend(), world.mesh())
    made.hub.connect(WEB, world.METADATA)
    assert made.put(backend("b2", "10.0.1.2")) == {}
    touched = made.put(backend("b3", "10.0.1.3", tags={"version": "v1"}))
    (name,) = made.hub.desired(WEB)[ENDPOINT]
    assert touched == {WEB: {ENDPOINT: frozenset({name})}}
    assert name.startswith("backend-")
    assert "10.0.1.3" in made.body(ENDPOINT, name)
    assert "10.0.1.2" not in made.body(ENDPOINT, name)
