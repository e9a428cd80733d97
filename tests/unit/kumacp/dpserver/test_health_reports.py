"""What the reports of a proxy mean for its inbounds."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from envoy.config.core.v3.health_check_pb2 import HealthStatus
from envoy.service.health.v3.hds_pb2 import HealthCheckRequestOrEndpointHealthResponse
from hypothesis import given
from hypothesis import strategies as st

from kumacp.dpserver.hds_wire import MAX_REPORT_BYTES, decode_introduction, decode_report
from kumacp.dpserver.health import Report, StateChange, Target, decide, target
from kumacp.dpserver.refusal import Refused, Status
from kumamesh.resources.dataplane import Dataplane

ADMIN = Target("127.0.0.1", 9901)
WORKLOAD = Target("127.0.0.1", 8080)
WEB = "default.web-1"


def dataplane(*inbounds: dict[str, Any]) -> Dataplane:
    tagged = [{"tags": {"kuma.io/service": "web"}, **inbound} for inbound in inbounds]
    return Dataplane.model_validate({"networking": {"address": "10.0.0.1", "inbound": tagged}})


def probed(state: str = "Ready", **more: Any) -> dict[str, Any]:
    workload = {"port": 80, "servicePort": 8080, "serviceAddress": "127.0.0.1"}
    return {**workload, "state": state, "serviceProbe": {"tcp": {}}, **more}


def plain(state: str = "Ready", **more: Any) -> dict[str, Any]:
    return {"port": 90, "state": state, **more}


def states(spec: Dataplane) -> list[str]:
    """Of all inbounds, in their two forms, which must agree once one was written."""
    for inbound in spec.networking.inbound:
        assert inbound.health is None or inbound.health.ready is (inbound.state == "Ready")
    return [inbound.state for inbound in spec.networking.inbound]


@pytest.mark.parametrize(
    ("envoy", "workload", "expected"),
    [
        (True, True, ["Ready", "Ready"]),
        (True, False, ["NotReady", "Ready"]),
        (False, True, ["NotReady", "NotReady"]),
        (False, False, ["NotReady", "NotReady"]),
    ],
)
@pytest.mark.parametrize("before", ["Ready", "NotReady"])
def test_ready_is_what_envoy_and_the_probe_agree_on(
    envoy: bool, workload: bool, expected: list[str], before: str
) -> None:
    spec, changes = decide(
        dataplane(probed(before), plain(before)), ADMIN, {ADMIN: envoy, WORKLOAD: workload}
    )
    assert states(spec) == expected
    assert len(changes) == sum(state != before for state in expected)


def test_why_is_told() -> None:
    both = dataplane(probed(), plain())
    assert decide(both, ADMIN, {ADMIN: True, WORKLOAD: False})[1] == (
        StateChange("10.0.0.1:80 of web", False, "its workload at 127.0.0.1:8080 cannot be reached"),
    )
    draining = "its Envoy drains, or does not serve yet"
    assert [change.reason for change in decide(both, ADMIN, {ADMIN: False})[1]] == [draining, draining]
    sick = dataplane(probed("NotReady"), plain("NotReady"))
    assert [change.reason for change in decide(sick, ADMIN, {ADMIN: True, WORKLOAD: True})[1]] == [
        "its workload at 127.0.0.1:8080 can be reached",
        "its Envoy serves",
    ]


@pytest.mark.parametrize(
    ("written", "reported"),
    [("FD00:0::1", "fd00::1"), ("0:0:0:0:0:0:0:1", "::1"), ("::FFFF:10.0.0.1", "::ffff:10.0.0.1")],
)
def test_a_workload_is_known_by_each_form_of_its_address(written: str, reported: str) -> None:
    message = HealthCheckRequestOrEndpointHealthResponse()
    item = message.endpoint_health_response.endpoints_health.add(health_status=HealthStatus.HEALTHY)
    item.endpoint.address.socket_address.address = reported
    item.endpoint.address.socket_address.port_value = 8080
    found = decode_report(message.SerializeToString(), WEB)
    assert found == {target(written, 8080): True}
    spec, _ = decide(dataplane(probed("NotReady", serviceAddress=written)), None, found)
    assert states(spec) == ["Ready"]


def test_the_legacy_form_alone_counts_too() -> None:
    spec, changes = decide(dataplane(plain(health={"ready": False})), ADMIN, {ADMIN: True})
    assert states(spec) == ["Ready"]
    assert len(changes) == 1


@pytest.mark.parametrize("ready", [True, False])
def test_ignored_inbounds_stay_what_they_are(ready: bool) -> None:
    ignored = dataplane(probed("Ignored"), plain("Ignored"))
    assert decide(ignored, ADMIN, {ADMIN: ready, WORKLOAD: ready}) == (ignored, ())


@pytest.mark.parametrize("before", ["Ready", "NotReady"])
@pytest.mark.parametrize("report", [{}, {WORKLOAD: True}, {Target("127.0.0.1", 1): False}])
def test_a_report_without_envoy_itself_changes_nothing(before: str, report: Report) -> None:
    unknown = dataplane(probed(before), plain(before))
    assert decide(unknown, ADMIN, report)[0] is unknown


@pytest.mark.parametrize("before", ["Ready", "NotReady"])
def test_a_report_made_before_the_probe_was_known_leaves_its_inbound(before: str) -> None:
    spec, changes = decide(dataplane(probed(before)), ADMIN, {ADMIN: True, Target("127.0.0.1", 8081): False})
    assert states(spec) == [before]
    assert changes == ()


def test_an_envoy_without_admin_is_taken_for_healthy() -> None:
    spec, _ = decide(dataplane(probed("NotReady"), plain("NotReady")), None, {WORKLOAD: True})
    assert states(spec) == ["Ready", "Ready"]


@given(
    st.lists(
        st.tuples(
            st.booleans(),
            st.sampled_from(["Ready", "NotReady", "Ignored"]),
            st.sampled_from([None, True, False]),
        ),
        max_size=4,
    ),
    st.dictionaries(st.sampled_from([ADMIN, WORKLOAD, Target("::1", 1)]), st.booleans()),
)
def test_decisions_settle_and_touch_only_states(
    shape: list[tuple[bool, str, bool | None]], report: dict[Target, bool]
) -> None:
    """A second look at the same report finds nothing to do, and no other field is ever different."""
    given_ = dataplane(
        *(
            (probed if with_probe else plain)(
                state, **({"health": {"ready": health}} if health is not None else {})
            )
            for with_probe, state, health in shape
        )
    )
    once, changes = decide(given_, ADMIN, report)
    again, none = decide(once, ADMIN, report)
    assert again is once
    assert none == ()
    assert bool(changes) is (once is not given_)
    for before, after in zip(given_.networking.inbound, once.networking.inbound, strict=True):
        blank = {"state": "Ready", "health": None}
        assert before.model_copy(update=blank) == after.model_copy(update=blank)


def message(**forms: list[tuple[str, int, int]]) -> bytes:
    """A report with entries of (address, port, status) in the forms `flat` and `clusters`."""
    made = HealthCheckRequestOrEndpointHealthResponse()
    response = made.endpoint_health_response
    response.SetInParent()
    for form, entries in forms.items():
        for address, port, status in entries:
            if form == "flat":
                item = response.endpoints_health.add(health_status=status)
            else:
                cluster = response.cluster_endpoints_health.add(cluster_name=f"localhost:{port}")
                item = cluster.locality_endpoints_health.add().endpoints_health.add(health_status=status)
            item.endpoint.address.socket_address.address = address
            item.endpoint.address.socket_address.port_value = port
    return bytes(made.SerializeToString())


@pytest.mark.parametrize("form", ["flat", "clusters"])
@pytest.mark.parametrize(
    ("status", "healthy"),
    [
        ("HEALTHY", True),
        ("UNKNOWN", True),
        ("UNHEALTHY", False),
        ("DRAINING", False),
        ("TIMEOUT", False),
        ("DEGRADED", False),
    ],
)
def test_both_forms_of_a_report_are_read(form: str, status: str, healthy: bool) -> None:
    data = message(**{form: [("127.0.0.1", 8080, HealthStatus.Value(status))]})
    assert decode_report(data, WEB) == {WORKLOAD: healthy}


def test_of_two_statements_the_worse_one_counts() -> None:
    for first, second in ((1, 2), (2, 1)):
        data = message(flat=[("127.0.0.1", 8080, first)], clusters=[("127.0.0.1", 8080, second)])
        assert decode_report(data, WEB) == {WORKLOAD: False}


def test_a_repeated_introduction_reports_nothing_and_another_ones_is_refused() -> None:
    made = HealthCheckRequestOrEndpointHealthResponse()
    made.health_check_request.SetInParent()
    assert decode_report(made.SerializeToString(), WEB) is None
    made.health_check_request.node.id = WEB
    assert decode_report(made.SerializeToString(), WEB) is None
    made.health_check_request.node.id = "default.api-1"
    with pytest.raises(Refused, match=r"stream was authenticated for ID default\.web-1") as caught:
        decode_report(made.SerializeToString(), WEB)
    assert caught.value.status is Status.PERMISSION_DENIED


def test_the_introduction_is_a_node() -> None:
    made = HealthCheckRequestOrEndpointHealthResponse()
    made.health_check_request.node.id = WEB
    made.health_check_request.node.metadata.update({"a": {"b": [1, None]}})
    introduction = decode_introduction(made.SerializeToString())
    assert (introduction.node_id, introduction.metadata) == (WEB, {"a": {"b": [1, None]}})
    for data in (b"", message(), b"\xff"):
        with pytest.raises(Refused) as caught:
            decode_introduction(data)
        assert caught.value.status is Status.INVALID_ARGUMENT


def test_a_huge_report_is_refused_unread() -> None:
    with pytest.raises(Refused) as caught:
        decode_report(bytes(MAX_REPORT_BYTES + 1), WEB)
    assert caught.value.status is Status.RESOURCE_EXHAUSTED


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    for read in (decode_introduction, lambda raw: decode_report(raw, WEB)):
        with suppress(Refused):
            read(data)
