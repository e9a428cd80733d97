"""protobuf's own JSON is the judge."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from google.protobuf import json_format
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given, settings

from kumacp.kds.protocol.fields import Unfit, to_body, to_message
from kumacp.kds.protocol.payload import MESSAGES
from kumacp.kds.wire.insight_pb2 import DiscoverySubscription
from kumacp.kds.wire.mesh_pb2 import Mesh
from kumacp.kds.wire.proxy_pb2 import Dataplane
from kumamesh.resources.registry import TYPES
from kumamesh.resources.rest import spec_from_json, spec_to_json
from spec_strategies import specs


@pytest.mark.parametrize("type_", sorted(MESSAGES))
def test_both_ways_agree_with_json_format(type_: str) -> None:
    @settings(max_examples=60, deadline=None, derandomize=True)
    @given(specs(TYPES[type_].spec))
    def check(spec: Any) -> None:
        message = to_message(spec_to_json(spec), MESSAGES[type_])
        told = json_format.MessageToDict(message)
        assert to_message(told, MESSAGES[type_]) == message
        assert spec_from_json(type_, to_body(message)) == spec_from_json(type_, told)

    check()


def test_objects_that_are_empty_are_there() -> None:
    message = to_message({"networking": {"inbound": [{"health": {}}]}}, Dataplane)
    [inbound] = message.networking.inbound
    assert inbound.HasField("health")
    assert not inbound.HasField("serviceProbe")
    assert to_body(message) == {"networking": {"inbound": [{"health": {}}]}}


def test_labels_of_later_versions_stay_numbers() -> None:
    message = Dataplane(networking={"inbound": [{"state": 77}]})
    assert to_body(message) == {"networking": {"inbound": [{"state": 77}]}}


def test_whole_numbers_of_a_struct_stay_whole() -> None:
    conf = {"a": 1, "b": [2.5, {"c": -3}], "d": None, "e": 1e300}
    body = {"mtls": {"backends": [{"conf": conf}]}}
    found = to_body(to_message(body, Mesh))
    assert json.dumps(found, sort_keys=True) == json.dumps(body, sort_keys=True)


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"])
def test_the_first_and_the_last_moment(text: str) -> None:
    message = to_message({"connectTime": text}, DiscoverySubscription)
    assert to_body(message) == {"connectTime": datetime.fromisoformat(text)}


@pytest.mark.parametrize("moment", [Timestamp(seconds=2**60), Timestamp(nanos=-1), Timestamp(nanos=10**9)])
def test_no_moment(moment: Timestamp) -> None:
    with pytest.raises((ValueError, OverflowError)):
        to_body(DiscoverySubscription(connect_time=moment))


def test_more_digits_than_a_moment_has() -> None:
    message = DiscoverySubscription(connect_time=Timestamp(seconds=1, nanos=123_456_789))
    assert to_body(message) == {"connectTime": datetime(1970, 1, 1, 0, 0, 1, 123_456, tzinfo=UTC)}


@pytest.mark.parametrize(
    ("networking", "path"),
    [
        ({"inbound": [{"port": 1}, {"port": 2**32}, {"port": -1}]}, "networking.inbound.port: .*range"),
        ({"inbound": [{"tags": {"a": 1}}]}, "networking.inbound.tags: "),
        ({"inbound": [{"state": "Nope"}]}, "networking.inbound.state: .*Nope"),
        ({"inbound": [{"serviceProbe": {"unhealthyThreshold": -1}}]}, "networking.inbound.serviceProbe.unh"),
        ({"address": "\ud800"}, "networking.address: "),
        ({"elsewhere": 1}, "networking.elsewhere: "),
    ],
)
def test_what_does_not_fit_is_named(networking: Any, path: str) -> None:
    with pytest.raises(Unfit, match=f"^{path}"):
        to_message({"networking": networking}, Dataplane)
