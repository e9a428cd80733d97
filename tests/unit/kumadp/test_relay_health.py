"""What the relay says of a stopping Envoy in its place, and what it leaves out of what Envoy says."""

from __future__ import annotations

from envoy.service.health.v3.hds_pb2 import HealthCheckRequestOrEndpointHealthResponse, HealthCheckSpecifier
from google.protobuf.json_format import MessageToDict, ParseDict

from kumadp.relay.health import EVERY, Repeats, farewell

ADMIN = {"address": {"socketAddress": {"address": "127.0.0.1", "portValue": 9901}}}
APP = {"address": {"socketAddress": {"address": "127.0.0.1", "portValue": 8080}}}


def specifier(*names: str) -> bytes:
    checks = [
        {"clusterName": name, "localityEndpoints": [{"endpoints": [ADMIN if "admin" in name else APP]}]}
        for name in names
    ]
    return ParseDict({"clusterHealthChecks": checks}, HealthCheckSpecifier()).SerializeToString()


def test_envoy_is_unhealthy_and_of_the_workload_nothing_is_said() -> None:
    for name in ("kuma:envoy:admin", "system_envoy_admin"):
        raw = farewell(specifier(name, "localhost:8080"))
        found = [{"endpoint": ADMIN, "healthStatus": "UNHEALTHY"}]
        assert MessageToDict(HealthCheckRequestOrEndpointHealthResponse.FromString(raw)) == {
            "endpointHealthResponse": {
                "endpointsHealth": found,
                "clusterEndpointsHealth": [
                    {"clusterName": name, "localityEndpointsHealth": [{"endpointsHealth": found}]}
                ],
            }
        }


def test_nothing_is_said_that_was_not_asked_for() -> None:
    for asked in (b"", specifier(), specifier("localhost:8080"), b"\xff\xff"):
        assert farewell(asked) == b""


def passed(repeats: Repeats, reports: bytes) -> str:
    """Those of the one-letter reports that pass."""
    return "".join(chr(byte) for byte in reports if repeats.passes(bytes((byte,))))


def test_what_changed_passes_at_once_and_what_did_not_now_and_then() -> None:
    repeats = Repeats()
    assert passed(repeats, b"aaabba") == "aba"
    assert passed(repeats, b"a" * 5 * EVERY) == "a" * 5


def test_an_answer_to_what_is_asked_passes() -> None:
    repeats = Repeats()
    assert passed(repeats, b"aa") == "a"
    repeats.asked()
    assert passed(repeats, b"aa") == "a"
