"""Kuma's rules of Dataplane: every field, with path and text (kuma-cp 2.1)."""

from __future__ import annotations

from typing import Any

import pytest

from kumamesh.resources.rest import from_rest
from resource_documents import dataplane, document, violations

PORT = "port must be in the range [1, 65535]"
SERVICE = {"kuma.io/service": "backend"}
KINDS = "invalid value. Available values are: MeshExternalService,MeshMultiZoneService,MeshService"


def inbound(**fields: Any) -> dict[str, Any]:
    return dataplane(inbound=[{"port": 8080, "tags": SERVICE, **fields}])


def outbound(**fields: Any) -> dict[str, Any]:
    return dataplane(outbound=[{"port": 9090, **fields}])


def proxying(**fields: Any) -> dict[str, Any]:
    return dataplane(transparentProxying=fields)


@pytest.mark.parametrize(
    "body",
    [
        dataplane(),
        dataplane(address="backend.example.com"),
        dataplane(address="fd00::1"),
        dataplane(address="under_score.local."),
        dataplane(advertisedAddress="10.0.0.1"),
        dataplane(admin={"port": 9901}),
        dataplane(admin={}),
        inbound(servicePort=80, serviceAddress="127.0.0.1"),
        inbound(servicePort=80, serviceAddress="192.168.0.1"),
        inbound(address="192.168.0.2"),
        inbound(state="NotReady", health={"ready": False}, name="main", protocol="http"),
        inbound(tags={**SERVICE, "kuma.io/protocol": "grpc", "a/b:c_d.e-f": "x:y_z.1-2"}),
        inbound(serviceProbe={"interval": "1s", "timeout": "500ms", "healthyThreshold": 1, "tcp": {}}),
        outbound(tags={"kuma.io/service": "redis", "version": "1"}),
        outbound(address="127.0.0.2", tags=SERVICE),
        outbound(backendRef={"kind": "MeshService", "name": "redis", "port": 6379}),
        outbound(backendRef={"kind": "MeshExternalService", "labels": {"a": "b"}}),
        dataplane(inbound=None, gateway={"tags": SERVICE}),
        dataplane(inbound=None, gateway={"type": "BUILTIN", "tags": {**SERVICE, "kuma.io/protocol": "tcp"}}),
        proxying(redirectPortInbound=15006, redirectPortOutbound=15001, ipFamilyMode="IPv4"),
        proxying(reachableBackends={"refs": [{"kind": "MeshService", "labels": {"a": "b"}, "port": 80}]}),
        {**dataplane(), "metrics": {"type": "prometheus", "conf": {"port": 5670, "path": "/metrics"}}},
        {
            **dataplane(),
            "probes": {"port": 9000, "endpoints": [{"inboundPort": 80, "inboundPath": "/a", "path": "/b"}]},
        },
    ],
)
def test_valid_dataplanes_pass(body: dict[str, Any]) -> None:
    assert from_rest(body).name == "a"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (document("Dataplane"), [("networking", "must be defined")]),
        (dataplane(address=None), [("networking.address", "address can't be empty")]),
        (dataplane(address="0.0.0.0"), [("networking.address", "must not be 0.0.0.0 or ::")]),
        (dataplane(address="::"), [("networking.address", "must not be 0.0.0.0 or ::")]),
        (
            dataplane(address="..>_<.."),
            [("networking.address", "address has to be valid IP address or domain name")],
        ),
        (
            dataplane(advertisedAddress="a b"),
            [("networking.advertisedAddress", "address has to be valid IP address or domain name")],
        ),
        (
            dataplane(inbound=[]),
            [("networking", "has to contain at least one inbound interface or gateway")],
        ),
        (
            dataplane(address="127.0.0.1", admin={"port": 8080}),
            [("networking.admin.port", "must differ from inbound")],
        ),
        (
            dataplane(
                admin={"port": 80},
                inbound=[{"port": 1, "serviceAddress": "127.0.0.1", "servicePort": 80, "tags": SERVICE}],
            ),
            [("networking.admin.port", "must differ from inbound")],
        ),
        (
            dataplane(admin={"port": 9090}, outbound=[{"port": 9090, "tags": SERVICE}]),
            [("networking.admin.port", "must differ from outbound")],
        ),
        (dataplane(admin={"port": 70000}), [("networking.admin.port", PORT)]),
        (
            dataplane(gateway={"tags": SERVICE}),
            [("networking.inbound", "inbound cannot be defined for delegated gateways")],
        ),
        (
            {
                **dataplane(
                    gateway={"type": "BUILTIN", "tags": SERVICE}, outbound=[{"port": 1, "tags": SERVICE}]
                ),
                "probes": {"port": 1},
            },
            [
                ("networking.inbound", "inbound cannot be defined for builtin gateways"),
                ("networking.outbound", "outbound cannot be defined for builtin gateways"),
                ("probes", "probes cannot be defined for builtin gateways"),
            ],
        ),
        (
            dataplane(inbound=None, gateway={"tags": {"kuma.io/protocol": "http"}}),
            [
                (
                    'networking.gateway.tags["kuma.io/protocol"]',
                    'other values than tcp are not allowed, provided value "http"',
                ),
                ("networking.gateway.tags", 'mandatory tag "kuma.io/service" is missing'),
            ],
        ),
        (inbound(port=0), [("networking.inbound[0].port", PORT)]),
        (inbound(port=65536), [("networking.inbound[0].port", PORT)]),
        (inbound(servicePort=65536), [("networking.inbound[0].servicePort", PORT)]),
        (
            inbound(address="host"),
            [("networking.inbound[0].address", "address has to be valid IP address")],
        ),
        (
            inbound(serviceAddress="host", servicePort=1),
            [("networking.inbound[0].serviceAddress", "serviceAddress has to be valid IP address")],
        ),
        (
            inbound(serviceAddress="192.168.0.1", servicePort=8080),
            [
                (
                    "networking.inbound[0].serviceAddress",
                    "serviceAddress and servicePort has to differ from address and port",
                )
            ],
        ),
        (
            inbound(address="192.168.0.2", serviceAddress="192.168.0.2"),
            [
                (
                    "networking.inbound[0].serviceAddress",
                    "serviceAddress and servicePort has to differ from address and port",
                )
            ],
        ),
        (
            inbound(tags={"version": "1"}),
            [('networking.inbound[0].tags["kuma.io/service"]', "tag has to exist")],
        ),
        (
            inbound(tags={**SERVICE, "kuma.io/protocol": "htp"}),
            [
                (
                    'networking.inbound[0].tags["kuma.io/protocol"]',
                    'tag "kuma.io/protocol" has an invalid value "htp".'
                    " Allowed values: grpc, http, http2, kafka, tcp, tls",
                )
            ],
        ),
        (
            inbound(protocol="htp"),
            [
                (
                    "networking.inbound[0].protocol",
                    "has an invalid value. Allowed values: grpc, http, http2, kafka, tcp, tls",
                )
            ],
        ),
        (
            inbound(tags={**SERVICE, "": "x", "empty": "", "a?": "b", "c": "*"}),
            [
                ("networking.inbound[0].tags", "tag name must be non-empty"),
                (
                    'networking.inbound[0].tags["a?"]',
                    "tag name must consist of alphanumeric characters, dots, dashes, slashes and underscores",
                ),
                (
                    'networking.inbound[0].tags["c"]',
                    "tag value must consist of alphanumeric characters, dots, dashes and underscores",
                ),
                ('networking.inbound[0].tags["empty"]', "tag value must be non-empty"),
            ],
        ),
        (
            inbound(
                serviceProbe={
                    "interval": "0s",
                    "timeout": "-1s",
                    "unhealthyThreshold": 0,
                    "healthyThreshold": 0,
                }
            ),
            [
                (f"networking.inbound[0].serviceProbe.{field}", "must have a positive value")
                for field in ("interval", "timeout", "unhealthyThreshold", "healthyThreshold")
            ],
        ),
        (outbound(), [("networking.outbound[0].tags", 'mandatory tag "kuma.io/service" is missing')]),
        (outbound(port=0, tags=SERVICE), [("networking.outbound[0].port", PORT)]),
        (
            outbound(address="host", tags=SERVICE),
            [("networking.outbound[0].address", "address has to be valid IP address")],
        ),
        (
            outbound(tags=SERVICE, backendRef={"kind": "MeshService", "name": "x", "port": 1}),
            [("networking.outbound[0].backendRef", "both backendRef and tags/service cannot be defined")],
        ),
        (
            outbound(backendRef={"kind": "Service"}),
            [
                ("networking.outbound[0].backendRef.kind", KINDS),
                ("networking.outbound[0].backendRef", "either 'name' or 'labels' should be specified"),
                ("networking.outbound[0].backendRef.port", PORT),
            ],
        ),
        (
            proxying(redirectPortInbound=65536, redirectPortOutbound=65536),
            [
                (f"networking.transparentProxying.{field}", "port must be in the range [0, 65535]")
                for field in ("redirectPortInbound", "redirectPortOutbound")
            ],
        ),
        (
            proxying(
                reachableBackends={
                    "refs": [
                        {"kind": "Service", "name": "X_Y"},
                        {"kind": "MeshService"},
                        {"kind": "MeshService", "namespace": "ns"},
                        {"kind": "MeshService", "name": "x", "labels": {"a": "b"}, "port": 0},
                    ]
                }
            ),
            [
                ("networking.transparentProxying.reachableBackends.refs[0].kind", KINDS),
                (
                    "networking.transparentProxying.reachableBackends.refs[0].name",
                    "invalid characters. A lowercase RFC 1123 subdomain must consist of lower case"
                    " alphanumeric characters, '-' or '.', and must start and end with an alphanumeric"
                    " character",
                ),
                (
                    "networking.transparentProxying.reachableBackends.refs[1].name",
                    "name or labels are required",
                ),
                (
                    "networking.transparentProxying.reachableBackends.refs[2].name",
                    "name is required, when namespace is defined",
                ),
                (
                    "networking.transparentProxying.reachableBackends.refs[3].labels",
                    "labels cannot be defined when name is specified",
                ),
                ("networking.transparentProxying.reachableBackends.refs[3].port", PORT),
            ],
        ),
        (
            {**dataplane(), "probes": {"endpoints": [{"inboundPort": 0, "inboundPath": "a", "path": ""}]}},
            [
                ("probes.port", PORT),
                ("probes.endpoints[0].inboundPort", PORT),
                ("probes.endpoints[0].inboundPath", "should be a valid URL Path"),
                ("probes.endpoints[0].path", "should be a valid URL Path"),
            ],
        ),
        (
            {**dataplane(), "metrics": {"type": "statsd"}},
            [("metrics.type", 'unknown backend type. Available backends: "prometheus"')],
        ),
    ],
)
def test_every_broken_rule_is_told(body: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    assert violations(body) == expected


def test_all_that_is_wrong_is_told_at_once() -> None:
    body = dataplane(
        address=None,
        inbound=[{"port": 0, "tags": {}}, {"port": "x", "tags": SERVICE}],
        outbound=[{"port": 0, "tags": SERVICE}],
    )
    assert {field for field, _ in violations(body)} == {
        "networking.address",
        "networking.inbound[0].port",
        'networking.inbound[0].tags["kuma.io/service"]',
        "networking.inbound[1].port",
        "networking.outbound[0].port",
    }
