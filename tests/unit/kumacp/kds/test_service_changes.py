"""Which changes make global count the services of a mesh anew."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from kumacp.kds.service_insight_driver import matters
from kumacp.store.api import Change, Operation
from kumamesh.resource import Resource, ResourceKey
from kumamesh.resources.config import Config
from kumamesh.resources.insight import DataplaneInsight, DataplaneInsightMtls, DiscoverySubscription
from kumamesh.resources.mesh import Mesh
from kumamesh.resources.rest import from_rest

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PROXY = from_rest(
    {
        "type": "Dataplane",
        "mesh": "default",
        "name": "web-1",
        "networking": {"address": "10.0.0.1", "inbound": [{"port": 80, "tags": {"kuma.io/service": "web"}}]},
    }
)
OPEN = DiscoverySubscription(id="1", connect_time=NOW)
INSIGHT = Resource(
    ResourceKey("DataplaneInsight", "default", "web-1"), DataplaneInsight(subscriptions=(OPEN,))
)


def _updated(old: Resource, **spec: object) -> Change:
    new = replace(old, spec=old.spec.model_copy(update=spec))
    return Change(Operation.UPDATE, old.key, old, new)


@pytest.mark.parametrize(
    ("change", "counts"),
    [
        (Change(Operation.CREATE, PROXY.key, None, PROXY), True),
        (Change(Operation.DELETE, PROXY.key, PROXY, None), True),
        (Change(Operation.UPDATE, PROXY.key, PROXY, replace(PROXY, labels={"a": "b"})), False),
        (_updated(INSIGHT, subscriptions=(OPEN.model_copy(update={"generation": 2}),)), False),
        (_updated(INSIGHT, subscriptions=(OPEN.model_copy(update={"disconnect_time": NOW}),)), True),
        (_updated(INSIGHT, m_tls=DataplaneInsightMtls(issued_backend="ca-1")), True),
        (Change(Operation.CREATE, ResourceKey("Mesh", "", "m"), None, Resource(INSIGHT.key, Mesh())), True),
        (Change(Operation.DELETE, ResourceKey("Mesh", "", "m"), Resource(INSIGHT.key, Mesh()), None), False),
        (
            Change(Operation.CREATE, ResourceKey("Config", "", "c"), None, Resource(PROXY.key, Config())),
            False,
        ),
    ],
)
def test_only_what_services_consist_of_counts(change: Change, counts: bool) -> None:
    assert matters(change) is counts
