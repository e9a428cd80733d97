"""Values of the wrong type and unknown fields, told with their path in Kuma's way."""

from __future__ import annotations

from typing import Any

import pytest

from kumamesh.resources.dataplane import Dataplane, Inbound
from kumamesh.resources.rest import from_rest
from kumamesh.resources.translate import parse
from resource_documents import dataplane, document, violations

SERVICE = {"kuma.io/service": "backend"}
MEANT_SERVICE_PORT = 'unknown field; did you mean "servicePort"?'


def inbound(**fields: Any) -> dict[str, Any]:
    return dataplane(inbound=[{"port": 8080, "tags": SERVICE, **fields}])


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (inbound(port="x"), ("networking.inbound[0].port", "must be a whole number")),
        (inbound(port=1.5), ("networking.inbound[0].port", "must be a whole number")),
        (inbound(port=True), ("networking.inbound[0].port", "must be a whole number")),
        (inbound(port=[80]), ("networking.inbound[0].port", "must be a whole number")),
        (inbound(port="9" * 5000), ("networking.inbound[0].port", "must be a whole number")),
        (inbound(port="٣"), ("networking.inbound[0].port", "must be a whole number")),
        (inbound(port=-1), ("networking.inbound[0].port", "must not be negative")),
        (inbound(port=2**64), ("networking.inbound[0].port", "is too large")),
        (inbound(port=float("nan")), ("networking.inbound[0].port", "must be a finite number")),
        (inbound(name=5), ("networking.inbound[0].name", "must be a string; put it in quotes")),
        (inbound(name=["x"]), ("networking.inbound[0].name", "must be a string")),
        (inbound(health={"ready": "yes"}), ("networking.inbound[0].health.ready", "must be true or false")),
        (inbound(health={"ready": 1}), ("networking.inbound[0].health.ready", "must be true or false")),
        (inbound(health=[]), ("networking.inbound[0].health", "must be an object")),
        (
            inbound(state="ready"),
            ("networking.inbound[0].state", 'must be one of "Ready", "NotReady" or "Ignored"'),
        ),
        (
            inbound(tags={**SERVICE, "version": 1.0}),
            ('networking.inbound[0].tags["version"]', "must be a string; put it in quotes"),
        ),
        (
            inbound(tags={**SERVICE, 8: "x"}),
            ("networking.inbound[0].tags", "the key 8 must be a string; put it in quotes"),
        ),
        (inbound(tags=["a"]), ("networking.inbound[0].tags", "must be an object")),
        (
            inbound(serviceProbe={"interval": "soon"}),
            (
                "networking.inbound[0].serviceProbe.interval",
                "must be a duration: a number and a unit, such as 500ms, 10s or 24h",
            ),
        ),
        (
            inbound(serviceProbe={"timeout": 5}),
            (
                "networking.inbound[0].serviceProbe.timeout",
                "must be a duration: a number and a unit, such as 500ms, 10s or 24h",
            ),
        ),
        (dataplane(inbound={"port": 1}), ("networking.inbound", "must be a list")),
        (dataplane(inbound="x"), ("networking.inbound", "must be a list")),
        (document("Dataplane", networking=5), ("networking", "must be an object")),
        (inbound(servicePrt=1), ("networking.inbound[0].servicePrt", MEANT_SERVICE_PORT)),
        (inbound(service_port=1), ("networking.inbound[0].service_port", MEANT_SERVICE_PORT)),
        (inbound(ServicePort=1), ("networking.inbound[0].ServicePort", MEANT_SERVICE_PORT)),
        (
            inbound(serviceProbe={"tcp": {"x": 1}}),
            ("networking.inbound[0].serviceProbe.tcp.x", "unknown field; there are none here"),
        ),
        (
            dataplane(admin={"zzz": 1}),
            ("networking.admin.zzz", "unknown field; known here: port"),
        ),
        (
            document("Secret", data=5),
            ("data", "must be base64 text"),
        ),
    ],
)
def test_a_wrong_value_is_told_with_its_path(body: dict[str, Any], expected: tuple[str, str]) -> None:
    assert violations(body) == [expected]


@pytest.mark.parametrize("port", [8080, "8080", 8080.0])
def test_numbers_may_be_written_as_protobuf_allows(port: Any) -> None:
    assert from_rest(inbound(port=port)).spec.networking.inbound[0].port == 8080


@pytest.mark.parametrize("data", ["+/8=", "-_8="])
def test_both_alphabets_of_base64_are_read(data: str) -> None:
    assert from_rest(document("Secret", data=data)).spec.data == b"\xfb\xff"


def test_null_means_absent() -> None:
    assert from_rest(dataplane(admin=None) | {"metrics": None, "labels": None}) == from_rest(dataplane())


def test_every_wrong_value_is_told_and_the_rules_are_checked_on_the_rest() -> None:
    body = dataplane(
        address=5,
        admin=[],
        inbound=[
            {"port": "x", "tags": {"version": 1}},
            "nonsense",
            {"port": 70000, "tags": SERVICE, "portt": 1},
        ],
        transparentProxying={"reachableServices": ["a", 1, {}]},
    )
    assert set(violations(body)) == {
        ("networking.address", "must be a string; put it in quotes"),
        ("networking.admin", "must be an object"),
        ("networking.inbound[0].port", "must be a whole number"),
        ('networking.inbound[0].tags["version"]', "must be a string; put it in quotes"),
        ('networking.inbound[0].tags["kuma.io/service"]', "tag has to exist"),
        ("networking.inbound[1]", "must be an object"),
        ("networking.inbound[2].port", "port must be in the range [1, 65535]"),
        ("networking.inbound[2].portt", 'unknown field; did you mean "port"?'),
        ("networking.transparentProxying.reachableServices[1]", "must be a string; put it in quotes"),
        ("networking.transparentProxying.reachableServices[2]", "must be a string"),
    }


def test_a_document_that_is_nested_without_end_is_refused() -> None:
    conf: dict[str, Any] = {}
    for _ in range(900):
        conf = {"x": conf}
    [(field, message)] = violations({**dataplane(), "metrics": {"type": "prometheus", "conf": conf}})[:1]
    assert field.startswith('metrics.conf["x"]')
    assert message == "is nested too deeply"


def test_what_was_understood_is_kept_beside_what_was_not() -> None:
    parsed = parse(Dataplane, {"networking": {"address": "1.2.3.4", "inbound": [{"port": "x", "name": "n"}]}})
    assert parsed.spec is not None
    assert parsed.spec.networking.inbound == (Inbound(name="n"),)
    assert [violation.field for violation in parsed.violations] == ["networking.inbound[0].port"]


def test_nobody_reads_half_a_million_violations() -> None:
    found = violations(dataplane(inbound=[{"port": "x", "tags": {"kuma.io/service": "web"}}] * 1_000))
    assert len(found) == 201
    assert found[199] == ("networking.inbound[199].port", "must be a whole number")
    assert found[200] == ("", "and 800 more")
