"""What is written down of zones."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from kumacp.kds.at_global.zone_insight import (
    MAX_CONFIG_CHARS,
    Observation,
    StreamKind,
    Subscription,
    told_by,
    traffic,
    updated,
)
from kumacp.kds.protocol.messages import Node
from kumamesh.delta import Counters
from kumamesh.resources.insight import KdsStream

START = datetime(2026, 1, 1, tzinfo=UTC)
TOLD = told_by(Node("zone-1", {"version": "2.13.0", "gitTag": "v2"}, "{}", "cp-1"), token_provided=True)


def _at(seconds: int) -> datetime:
    return START + timedelta(seconds=seconds)


def _subscription(
    id_: str, begun: int, ended: int | None = None, **traffic: tuple[int, int, int]
) -> Subscription:
    over = None if ended is None else _at(ended)
    return Subscription(id_, "global-1", _at(begun), TOLD, traffic, over)


def test_traffic_is_summed_over_types() -> None:
    seen = Observation((_subscription("a", 0, Mesh=(3, 2, 1), Secret=(10, 10, 0)),))
    (written,) = updated(None, seen, _at(5)).subscriptions
    assert (written.status.total.responses_sent, written.status.total.responses_acknowledged) == (13, 12)
    assert written.status.stat["Mesh"].responses_rejected == 1
    assert (written.status.last_update_time, written.generation) == (_at(5), 1)


def test_what_nobody_sees_any_more_is_over_and_every_writing_counts() -> None:
    first = updated(None, Observation((_subscription("a", 0),)), _at(1))
    second = updated(first, Observation((_subscription("b", 5),)), _at(6))
    assert [(item.id, item.disconnect_time) for item in second.subscriptions] == [("a", _at(6)), ("b", None)]
    third = updated(second, Observation((_subscription("b", 5, 9),)), _at(10))
    assert [(item.id, item.disconnect_time, item.generation) for item in third.subscriptions] == [
        ("a", _at(6), 1),
        ("b", _at(9), 2),
    ]


def test_ten_are_kept_and_those_that_are_open_before_others() -> None:
    insight = updated(None, Observation((_subscription("open", 0),)), _at(0))
    seen = [_subscription("open", 0), *(_subscription(f"s{n:02}", n, n) for n in range(1, 15))]
    insight = updated(insight, Observation(tuple(seen)), _at(20))
    assert [item.id for item in insight.subscriptions] == ["open", *(f"s{n:02}" for n in range(6, 15))]


def test_health_outlives_the_connection_and_streams_do_not() -> None:
    stream = KdsStream(global_instance_id="global-1", connect_time=START)
    insight = updated(None, Observation((), {StreamKind.STATS: stream}, START), START)
    assert insight.kds_streams is not None
    assert insight.kds_streams.stats == stream
    later = updated(insight, Observation(), _at(9))
    assert later.health_check is not None
    assert later.health_check.time == START
    assert later.kds_streams is not None
    assert later.kds_streams.stats is None


def test_a_zone_says_of_itself_what_has_room() -> None:
    assert TOLD.version.kuma_cp.version == "2.13.0"
    assert TOLD.version.kuma_cp.kuma_cp_global_compatible
    assert (TOLD.zone_instance_id, TOLD.token_provided) == ("cp-1", True)
    assert told_by(Node("z", config="x" * (MAX_CONFIG_CHARS + 1)), token_provided=False).config == ""
    long = told_by(Node("z", {"version": "9" * 2_000}, "", "i" * 2_000), token_provided=False)
    assert (len(long.version.kuma_cp.version), len(long.zone_instance_id)) == (100, 100)
    old = told_by(Node("z", {"version": "1.0.0"}), token_provided=False)
    assert not old.version.kuma_cp.kuma_cp_global_compatible


def test_only_types_that_there_are_have_counters() -> None:
    assert traffic({"Mesh": Counters(3, 2, 1), "x" * 1_000: Counters(1)}) == {"Mesh": (3, 2, 1)}
