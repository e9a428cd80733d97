"""Insights of proxies, subscription by subscription (contract 3.5)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from kumacp.dpserver.insight import (
    Certificate,
    Observation,
    all_ended,
    insight_key,
    proxy_version,
    updated,
)
from kumamesh.resource import ResourceKey
from kumamesh.resources.insight import DataplaneInsight, ZoneIngressInsight
from kumamesh.xds import CLUSTER, LISTENER, SECRET

T0 = datetime(2026, 5, 1, tzinfo=UTC)
T1 = T0 + timedelta(seconds=10)


def seen(subscription_id: str = "s-1", **more: Any) -> Observation:
    return Observation(subscription_id, "cp-1", T0, proxy_version({}), {"workdir": "/w"}, **more)


def of_dataplane(previous: Any, observation: Observation, now: datetime = T0) -> DataplaneInsight:
    insight = updated(previous, "Dataplane", observation, now)
    assert isinstance(insight, DataplaneInsight)
    return insight


def test_counters_by_type_and_in_total() -> None:
    traffic = {CLUSTER: (3, 2, 1), LISTENER: (2, 2, 0), SECRET: (1, 1, 0)}
    status = of_dataplane(None, seen(traffic=traffic), T1).subscriptions[0].status
    assert status.last_update_time == T1
    assert (status.total.responses_sent, status.total.responses_acknowledged) == (6, 5)
    assert status.cds.responses_rejected == 1
    assert status.eds.responses_sent == 0


def test_a_later_write_replaces_the_subscription_and_counts_generations() -> None:
    first = of_dataplane(None, seen())
    second = of_dataplane(first, seen(disconnect_time=T1), T1)
    assert [item.generation for item in second.subscriptions] == [2]
    assert not second.online


def test_two_subscriptions_are_kept_and_only_the_last_can_be_online() -> None:
    insight = of_dataplane(None, seen("s-1"))
    insight = of_dataplane(insight, seen("s-2"))
    insight = of_dataplane(insight, seen("s-3"), T1)
    assert [(item.id, item.online) for item in insight.subscriptions] == [("s-2", False), ("s-3", True)]


def test_a_certificate_is_counted_once_and_survives_a_new_stream() -> None:
    issued = Certificate(T0, T1, "ca-1", ("ca-1", "ca-2"))
    insight = of_dataplane(None, seen(certificate=issued))
    insight = of_dataplane(insight, seen(certificate=issued))
    assert insight.m_tls is not None
    assert insight.m_tls.certificate_regenerations == 1
    insight = of_dataplane(insight, seen("s-2"))
    insight = of_dataplane(insight, seen("s-2", certificate=replace(issued, issued_at=T1)))
    assert insight.m_tls is not None
    assert insight.m_tls.certificate_regenerations == 2
    assert insight.m_tls.supported_backends == ("ca-1", "ca-2")


def test_zone_proxies_have_no_certificates() -> None:
    insight = updated(None, "ZoneIngress", seen(), T0)
    assert isinstance(insight, ZoneIngressInsight)
    assert insight_key(ResourceKey("ZoneIngress", "", "in-1")) == ResourceKey(
        "ZoneIngressInsight", "", "in-1"
    )


def test_streams_that_nobody_closed_can_be_closed() -> None:
    insight = all_ended(of_dataplane(None, seen()), T1)
    assert insight.subscriptions[0].disconnect_time == T1
    assert all_ended(insight, T1 + timedelta(seconds=1)) == insight


def test_versions_and_dependencies() -> None:
    version = proxy_version(
        {
            "version": {
                "kumaDp": {"version": "2.13.4", "gitTag": "v2.13.4"},
                "envoy": {"version": "1.40.0", "kumaDpCompatible": True},
            },
            "dynamicMetadata": {"version.dependencies.coredns": "1.14.6", "team": "a"},
        }
    )
    assert version.kuma_dp.kuma_cp_compatible
    assert version.envoy.kuma_dp_compatible
    assert version.dependencies == {"coredns": "1.14.6"}


@pytest.mark.parametrize(
    "metadata", [{}, {"version": "x"}, {"version": {"kumaDp": 1, "envoy": []}}, {"dynamicMetadata": [1]}]
)
def test_junk_in_place_of_versions_is_no_version(metadata: dict[str, Any]) -> None:
    assert proxy_version(metadata).kuma_dp.version == ""
