"""Services that are kept current say what those say that are counted anew."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kumacp.services import Services, service_insight
from kumamesh.names import SERVICE_TAG, ZONE_TAG
from kumamesh.resource import Resource, ResourceKey
from kumamesh.resources.dataplane import Dataplane, Gateway, Inbound, Networking, Outbound
from kumamesh.resources.external_service import ExternalService
from kumamesh.resources.insight import DataplaneInsight, DataplaneInsightMtls, DiscoverySubscription

NOW = datetime(2026, 1, 1, tzinfo=UTC)
OPEN = DiscoverySubscription(id="1", connect_time=NOW)
WEB, INSIGHT, OUTSIDE = (
    ResourceKey(type_, "default", "a") for type_ in ("Dataplane", "DataplaneInsight", "ExternalService")
)

tags = st.fixed_dictionaries(
    {SERVICE_TAG: st.sampled_from(["web", "api", "db"])}, optional={ZONE_TAG: st.sampled_from(["z1", "z2"])}
)
inbounds = st.builds(Inbound, tags=tags, state=st.sampled_from(["Ready", "NotReady", "Ignored"]))
outbounds = st.builds(Outbound, tags=tags)
gateways = st.builds(Gateway, type=st.sampled_from(["BUILTIN", "DELEGATED"]), tags=tags)
dataplanes = st.builds(
    lambda inbound, outbound, gateway: Dataplane(
        networking=Networking(inbound=inbound, outbound=outbound, gateway=gateway)
    ),
    st.lists(inbounds, max_size=2).map(tuple),
    st.lists(outbounds, max_size=2).map(tuple),
    st.none() | gateways,
)
insights = st.builds(
    lambda online, backend: DataplaneInsight(
        subscriptions=(OPEN,) if online else (),
        m_tls=DataplaneInsightMtls(issued_backend=backend) if backend else None,
    ),
    st.booleans(),
    st.sampled_from(["", "ca-1", "ca-2"]),
)
names = st.sampled_from("abc")


def changes(type_: str, specs: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[ResourceKey, Any]]:
    return st.tuples(names.map(lambda name: ResourceKey(type_, "default", name)), st.none() | specs)


histories = st.lists(
    changes("Dataplane", dataplanes)
    | changes("DataplaneInsight", insights)
    | changes("ExternalService", st.builds(ExternalService, tags=tags)),
    max_size=30,
)


@settings(deadline=None, max_examples=200)
@given(histories, st.sets(st.integers(0, 30)))
def test_history_leaves_no_trace(history: list[tuple[ResourceKey, Any]], looks: set[int]) -> None:
    kept, now = Services(), {}
    for step, (key, spec) in enumerate(history):
        kept.put(key, spec)
        now[key] = spec
        if step in looks:
            kept.insight()
    stored = [Resource(key, spec) for key, spec in now.items() if spec is not None]
    listed = (
        [resource for resource in stored if resource.type == type_]
        for type_ in ("Dataplane", "DataplaneInsight", "ExternalService")
    )
    assert kept.insight() == service_insight(*listed)
    assert not kept.changed


@pytest.mark.parametrize(
    ("insight", "changed"),
    [
        (DataplaneInsight(subscriptions=(OPEN.model_copy(update={"generation": 2}),)), False),
        (DataplaneInsight(subscriptions=(OPEN.model_copy(update={"disconnect_time": NOW}),)), True),
        (DataplaneInsight(subscriptions=(OPEN,), m_tls=DataplaneInsightMtls(issued_backend="ca-1")), True),
        (None, True),
    ],
)
def test_counters_of_a_proxy_change_nothing(insight: DataplaneInsight | None, changed: bool) -> None:
    services = Services()
    services.put(WEB, Dataplane(networking=Networking(inbound=(Inbound(tags={SERVICE_TAG: "web"}),))))
    services.put(INSIGHT, DataplaneInsight(subscriptions=(OPEN,)))
    services.insight()
    services.put(INSIGHT, insight)
    assert services.changed is changed


def test_only_what_was_touched_is_made_anew() -> None:
    services = Services()
    for name in ("a", "b"):
        inbound = Inbound(tags={SERVICE_TAG: name})
        services.put(WEB._replace(name=name), Dataplane(networking=Networking(inbound=(inbound,))))
    before = services.insight().services
    services.put(INSIGHT, DataplaneInsight(subscriptions=(OPEN,)))
    after = services.insight().services
    assert after["b"] is before["b"]
    assert (before["a"].status, after["a"].status) == ("offline", "online")


def test_what_is_gone_was_never_there() -> None:
    services = Services()
    services.put(OUTSIDE, ExternalService(tags={SERVICE_TAG: "httpbin"}))
    assert set(services.insight().services) == {"httpbin"}
    services.put(OUTSIDE, None)
    assert services.insight() == Services().insight()
