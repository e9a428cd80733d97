"""Which names a mesh should have (kuma-cp 4.1, 4.3)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from kumacp.vips.desired import Desired, desired
from kumacp.vips.entry import Kind, VipKey, VipOutbound, Vips
from kumacp.vips.facts import MeshFacts
from kumacp.vips.names import VipSettings
from kumacp.vips.plan import Held, plan
from kumamesh.resource import Resource, ResourceKey
from kumamesh.resources.rest import from_rest

SERVICE = {"name": "service", "tagKey": "kuma.io/service"}
START = datetime(2025, 1, 1, tzinfo=UTC)


def make(type_: str, name: str, *, age_s: float = 0.0, **body: Any) -> Resource:
    created = (START - timedelta(seconds=age_s)).isoformat().replace("+00:00", "Z")
    return from_rest({"type": type_, "mesh": "default", "name": name, "creationTime": created, **body})


def dataplane(name: str, *tags: dict[str, str] | str, **inbound: Any) -> Resource:
    inbounds = [
        {
            "port": 8080 + number,
            "tags": {"kuma.io/service": given} if isinstance(given, str) else given,
            **inbound,
        }
        for number, given in enumerate(tags)
    ]
    return make("Dataplane", name, networking={"address": "192.168.0.1", "inbound": inbounds})


def external(name: str, address: str, service: str = "", **networking: Any) -> Resource:
    return make(
        "ExternalService",
        name,
        networking={"address": address, **networking},
        tags={"kuma.io/service": service or name},
    )


def virtual(
    name: str,
    host: str,
    port: str = "80",
    match: dict[str, str] | None = None,
    parameters: tuple[dict[str, str], ...] = (),
    age_s: float = 0.0,
) -> Resource:
    return make(
        "VirtualOutbound",
        name,
        age_s=age_s,
        selectors=[{"match": match or {"kuma.io/service": "*"}}],
        conf={"host": host, "port": port, "parameters": [SERVICE, *parameters]},
    )


def facts(*resources: Resource) -> MeshFacts:
    kept = MeshFacts()
    for resource in resources:
        kept.note(resource.key, resource)
    return kept


def names(*resources: Resource, service_vips: bool = True) -> Desired:
    return desired(facts(*resources).snapshot(), service_vips=service_vips)


def shown(vips: Vips) -> dict[VipKey, list[tuple[int, dict[str, str], str]]]:
    return {
        key: [(each.port, dict(each.tags), each.origin) for each in entry.outbounds]
        for key, entry in vips.items()
    }


def test_every_service_that_a_dataplane_offers_has_a_name() -> None:
    found = names(dataplane("one", "b", "a"), dataplane("two", "a"))
    assert shown(found.entries) == {
        (Kind.SERVICE, "a"): [(0, {"kuma.io/service": "a"}, "service")],
        (Kind.SERVICE, "b"): [(0, {"kuma.io/service": "b"}, "service")],
    }
    assert found.conflicts == {}


def test_unready_inbounds_count_and_ignored_ones_and_those_without_a_port_do_not() -> None:
    assert set(names(dataplane("one", "a", state="NotReady")).entries) == {(Kind.SERVICE, "a")}
    assert names(dataplane("one", "a", state="Ignored")).entries == {}
    assert names(dataplane("one", "a", port=49151)).entries == {}


def test_an_external_service_has_the_name_of_its_service_and_of_its_host() -> None:
    found = names(external("httpbin", "httpbin.org:443"), dataplane("one", "httpbin"))
    tags = {"kuma.io/service": "httpbin"}
    assert shown(found.entries) == {
        (Kind.SERVICE, "httpbin"): [(0, tags, "service"), (443, tags, "service")],
        (Kind.HOST, "httpbin.org"): [(443, tags, "external-service:httpbin")],
    }
    hidden = names(external("httpbin", "httpbin.org:443", disableHostDNSEntry=True))
    assert set(hidden.entries) == {(Kind.SERVICE, "httpbin")}


@pytest.mark.parametrize(
    ("address", "host"), [("192.168.0.9:80", "192.168.0.9"), ("[fd00::1]:80", "fd00::1")]
)
def test_a_host_that_is_an_address_is_its_own(address: str, host: str) -> None:
    entries = names(external("old", address)).entries
    assert entries[Kind.HOST, host].address == host
    assert entries[Kind.SERVICE, "old"].address == ""


def test_of_external_services_with_one_address_the_first_by_name_has_it() -> None:
    found = names(external("b", "h.example:80"), external("a", "h.example:80"), external("c", "h.example:81"))
    assert [(port, origin) for port, _, origin in shown(found.entries)[Kind.HOST, "h.example"]] == [
        (80, "external-service:a"),
        (81, "external-service:c"),
    ]
    assert tuple(found.conflicts.values()) == (
        "h.example:80 leads to the ExternalService a, and not to the ExternalService b;"
        " set networking.disableHostDNSEntry in all but one of them",
    )


def test_without_addresses_for_services_the_other_names_stay() -> None:
    found = names(
        dataplane("one", "a"), external("es", "h.example:80"), virtual("vo", "x"), service_vips=False
    )
    assert set(found.entries) == {(Kind.HOST, "h.example"), (Kind.FQDN, "x")}


def test_a_virtual_outbound_makes_names_and_ports_of_tags() -> None:
    v1 = {"kuma.io/service": "backend", "version": "v1", "port": "9090", "other": "x"}
    version, port = {"name": "v", "tagKey": "version"}, {"name": "port"}
    found = names(
        dataplane("one", v1, "frontend"),
        virtual("a", "{{.service}}.{{.v}}.mesh", match={"version": "*"}, parameters=(version,)),
        virtual("b", "{{.service}}.{{.v}}.mesh", "{{.port}}", {"port": "*"}, (version, port)),
    )
    kept = {"kuma.io/service": "backend", "version": "v1"}
    assert shown(found.entries)[Kind.FQDN, "backend.v1.mesh"] == [
        (80, kept, "virtual-outbound:a"),
        (9090, {**kept, "port": "9090"}, "virtual-outbound:b"),
    ]
    assert len(found.entries) == 3
    assert found.conflicts == {}


def test_a_virtual_outbound_sees_only_the_service_of_an_external_service() -> None:
    es = make(
        "ExternalService",
        "es",
        networking={"address": "h.example:443", "disableHostDNSEntry": True},
        tags={"kuma.io/service": "es", "version": "v1"},
    )
    found = names(es, virtual("a", "{{.service}}.ext"), virtual("b", "b.ext", match={"version": "v1"}))
    assert set(found.entries) == {(Kind.SERVICE, "es"), (Kind.FQDN, "es.ext")}


def test_the_more_specific_virtual_outbound_wins_then_the_younger_then_the_first_by_name() -> None:
    backend = dataplane("one", {"kuma.io/service": "backend", "version": "v1"})
    wide = virtual("a-wide", "x.mesh", parameters=({"name": "version"},))
    exact = virtual("exact", "x.mesh", match={"kuma.io/service": "backend"}, age_s=100)
    assert shown(names(backend, wide, exact).entries)[Kind.FQDN, "x.mesh"][0][2] == "virtual-outbound:exact"
    old = virtual("a-old", "x.mesh", age_s=100, parameters=({"name": "version"},))
    young = virtual("young", "x.mesh")
    assert shown(names(backend, old, young).entries)[Kind.FQDN, "x.mesh"][0][2] == "virtual-outbound:young"
    same = virtual("b", "x.mesh", parameters=({"name": "version"},))
    found = names(backend, same, virtual("a", "x.mesh"))
    assert shown(found.entries)[Kind.FQDN, "x.mesh"][0][2] == "virtual-outbound:a"
    assert tuple(found.conflicts.values()) == (
        "x.mesh:80 leads to kuma.io/service=backend (VirtualOutbound a), and not to"
        " kuma.io/service=backend version=v1 (VirtualOutbound b)",
    )


def test_many_claims_of_one_name_are_one_line() -> None:
    services = [dataplane(f"dp-{number}", f"s{number:03}") for number in range(50)]
    found = names(*services, virtual("all", "all.mesh"))
    assert tuple(found.conflicts.values()) == (
        "all.mesh:80 leads to kuma.io/service=s000 (VirtualOutbound all), and not to"
        " kuma.io/service=s001 (VirtualOutbound all) and 48 others",
    )


def test_tags_of_which_no_name_can_be_made_are_told_once() -> None:
    found = names(
        dataplane("one", "a", "b", {"kuma.io/service": "c", "port": "80"}),
        virtual("vo", "x.mesh", "{{.port}}", parameters=({"name": "port"},)),
    )
    assert set(found.entries) == {*((Kind.SERVICE, name) for name in "abc"), (Kind.FQDN, "x.mesh")}
    assert tuple(found.conflicts.values()) == (
        "the VirtualOutbound vo makes no name of 2 services that it selects: evaluation of template with"
        ' parameters didn\'t evaluate to a parsable number result="<no value>"',
    )


def test_names_that_become_one_are_told() -> None:
    found = plan(facts(dataplane("one", "a_b", "a.b")).snapshot(), Held(), VipSettings())
    assert tuple(found.conflicts.values()) == (
        "the name a.b.mesh leads to the service a_b, and no more to the service a.b; rename all but one",
    )
    assert list(found.added) == [(Kind.SERVICE, "a.b"), (Kind.SERVICE, "a_b")]


def test_a_conflict_that_grows_is_the_same_conflict() -> None:
    def conflicts(count: int) -> dict[str, str]:
        services = [dataplane(f"dp-{number}", f"s{number:03}") for number in range(count)]
        missing = virtual("none", "{{.v}}", parameters=({"name": "v"},))
        return dict(names(*services, missing, virtual("all", "all.mesh")).conflicts)

    few, many = conflicts(3), conflicts(50)
    assert few.keys() == many.keys()
    assert few.values() != many.values()
    assert len(few) == 2


def test_a_host_is_one_however_it_is_written() -> None:
    backend = {"kuma.io/service": "Backend"}
    found = names(
        dataplane("one", backend),
        external("a", "UP.example:80"),
        external("b", "up.example.:81"),
        external("c", "[FD00:0::1]:80"),
        external("d", "[fd00::1]:81"),
        virtual("vo", "{{.service}}.corp."),
    )
    hosts = {
        name: len(one.outbounds) for (kind, name), one in found.entries.items() if kind is not Kind.SERVICE
    }
    assert hosts == {"up.example": 2, "fd00::1": 2, **{f"{name}.corp": 1 for name in ("backend", *"abcd")}}


def test_a_further_instance_changes_nothing_and_the_last_one_that_goes_does() -> None:
    kept = facts(dataplane("one", "a"))
    two = dataplane("two", "a")
    assert not kept.note(two.key, two)
    assert not kept.note(two.key, dataplane("two", "a", state="NotReady"))
    assert not kept.note(ResourceKey("Dataplane", "default", "one"), None)
    assert kept.note(two.key, dataplane("two", "a", state="Ignored"))
    assert kept.snapshot().services == frozenset()
    assert not kept.note(two.key, None)


def test_other_tags_matter_only_to_virtual_outbounds() -> None:
    kept = facts(dataplane("one", {"kuma.io/service": "a", "version": "v1"}))
    v2 = dataplane("one", {"kuma.io/service": "a", "version": "v2"})
    assert not kept.note(v2.key, v2)
    assert kept.snapshot().tag_sets == frozenset()
    vo = virtual("vo", "x.mesh")
    assert kept.note(vo.key, vo)
    assert not kept.note(vo.key, vo)
    assert len(kept.snapshot().tag_sets) == 1
    v3 = dataplane("one", {"kuma.io/service": "a", "version": "v3"})
    assert kept.note(v3.key, v3)


def test_services_of_other_zones_come_by_the_same_door() -> None:
    kept, ingress = MeshFacts(), ResourceKey("ZoneIngress", "", "east")
    assert kept.offer(ingress, frozenset({(("kuma.io/service", "far"), ("kuma.io/zone", "east"))}))
    assert set(desired(kept.snapshot()).entries) == {(Kind.SERVICE, "far")}
    assert kept.offer(ingress, frozenset())


def test_what_was_worked_out_is_used_again_until_a_virtual_outbound_changes() -> None:
    kept = facts(dataplane("one", "a"), virtual("vo", "{{.service}}.x"))
    kept.expansions = desired(kept.snapshot()).expansions
    more = dataplane("two", "b")
    kept.note(more.key, more)
    again = desired(kept.snapshot(), known=kept.expansions)
    assert again.entries == desired(kept.snapshot()).entries
    assert all(again.expansions[tags] is found for tags, found in kept.expansions.items())
    changed = virtual("vo", "{{.service}}.y")
    kept.note(changed.key, changed)
    assert kept.expansions == {}


def test_an_outbound_of_one_port_is_kept_in_order_of_ports() -> None:
    found = names(external("a", "h.example:8080", "s"), external("b", "h.example:443", "s"))
    tags = (("kuma.io/service", "s"),)
    assert found.entries[Kind.SERVICE, "s"].outbounds == (
        VipOutbound(443, tags, "service"),
        VipOutbound(8080, tags, "service"),
    )


GRACE_S = 60.0
V1 = {"kuma.io/service": "a", "version": "v1"}
V2 = {"kuma.io/service": "a", "version": "v2"}


def kept_for_a_while(*resources: Resource) -> MeshFacts:
    kept = MeshFacts(GRACE_S)
    for resource in resources:
        kept.note(resource.key, resource, 0.0)
    return kept


def test_the_restart_of_the_only_instance_changes_nothing() -> None:
    one = dataplane("one", "a")
    kept = kept_for_a_while(one)
    before = kept.snapshot()
    for now in range(100):
        assert not kept.note(one.key, None, now)
        assert not kept.expire(now + GRACE_S - 1)
        assert not kept.note(one.key, one, now + GRACE_S - 1)
    assert kept.next_expiry is None
    assert not kept.expire(1e9)
    assert kept.snapshot() == before


def test_a_service_that_stays_away_goes_when_its_time_is_over() -> None:
    one, two = dataplane("one", "a"), dataplane("two", "b")
    kept = kept_for_a_while(one, two)
    kept.note(two.key, None, 5.0)
    kept.note(one.key, None, 7.0)
    assert kept.next_expiry == 5.0 + GRACE_S
    assert kept.expire(5.0 + GRACE_S)
    assert kept.snapshot().services == {"a"}
    assert kept.expire(7.0 + GRACE_S)
    assert kept.snapshot() == MeshFacts().snapshot()
    assert kept.note(one.key, one, 100.0)


def test_without_a_grace_period_names_go_at_once_as_in_kuma() -> None:
    one = dataplane("one", "a")
    kept = facts(one)
    assert kept.note(one.key, None)
    assert kept.snapshot().services == frozenset()
    assert kept.next_expiry is None


def test_what_is_offered_now_comes_before_what_was_offered() -> None:
    vo = virtual("vo", "{{.service}}.corp", parameters=({"name": "version"},))
    kept = kept_for_a_while(dataplane("one", V1), dataplane("two", V2), vo)
    name = (Kind.FQDN, "a.corp")
    assert dict(desired(kept.snapshot()).entries[name].outbounds[0].tags) == V1
    assert kept.note(ResourceKey("Dataplane", "default", "one"), None, 1.0)
    found = desired(kept.snapshot())
    assert dict(found.entries[name].outbounds[0].tags) == V2
    assert found.conflicts == {}
    assert kept.note(ResourceKey("Dataplane", "default", "two"), None, 2.0)
    assert dict(desired(kept.snapshot()).entries[name].outbounds[0].tags) == V1
    assert kept.expire(1.0 + GRACE_S)
    assert dict(desired(kept.snapshot()).entries[name].outbounds[0].tags) == V2
    assert kept.expire(2.0 + GRACE_S)
    assert desired(kept.snapshot()).entries == {}


def test_facts_that_are_made_anew_keep_what_was_leaving() -> None:
    vo = virtual("vo", "{{.service}}.{{.version}}", parameters=({"name": "version"},))
    before = kept_for_a_while(dataplane("one", V1), dataplane("two", V2), dataplane("three", "b"), vo)
    before.note(ResourceKey("Dataplane", "default", "one"), None, 1.0)
    again = kept_for_a_while(dataplane("two", V2), vo)
    again.inherit(before, 10.0)
    assert desired(again.snapshot()).entries == desired(before.snapshot()).entries
    assert again.expire(10.0 + GRACE_S)
    assert again.snapshot() == facts(dataplane("two", V2), vo).snapshot()
    at_once = facts(vo)
    at_once.inherit(before, 10.0)
    assert at_once.snapshot() == facts(vo).snapshot()
