"""Kuma's rules of Mesh and of the configurations of its backends (kuma-cp 2.5, 7.4)."""

from __future__ import annotations

from typing import Any

import pytest

from kumamesh.resources.mesh import Mesh
from kumamesh.resources.rest import from_rest
from resource_documents import violations

TAG_NAME = "tag name must consist of alphanumeric characters, dots, dashes, slashes and underscores"
SELECTOR_VALUE = (
    'tag value must consist of alphanumeric characters, dots, dashes, slashes and underscores or be "*"'
)


def mesh(**body: Any) -> dict[str, Any]:
    return {"type": "Mesh", "name": "default", **body}


def mtls(*backends: dict[str, Any], enabled: str = "ca-1", **fields: Any) -> dict[str, Any]:
    return mesh(mtls={"enabledBackend": enabled, "backends": list(backends), **fields})


def builtin(**fields: Any) -> dict[str, Any]:
    return {"name": "ca-1", "type": "builtin", **fields}


def provided(**conf: Any) -> dict[str, Any]:
    return {"name": "ca-1", "type": "provided", "conf": conf}


def logging(**backend: Any) -> dict[str, Any]:
    return mesh(logging={"backends": [{"name": "b", **backend}]})


def tracing(**backend: Any) -> dict[str, Any]:
    return mesh(tracing={"backends": [{"name": "b", **backend}]})


def prometheus(**conf: Any) -> dict[str, Any]:
    return mesh(metrics={"backends": [{"name": "b", "type": "prometheus", "conf": conf}]})


@pytest.mark.parametrize(
    "body",
    [
        mesh(),
        mtls(builtin()),
        mtls(builtin(mode="PERMISSIVE", dpCert={"rotation": {"expiration": "30s"}, "requestTimeout": "5s"})),
        mtls(builtin(conf={"caCert": {"RSAbits": 4096, "expiration": "10y"}}, rootChain={})),
        mtls(provided(cert={"secret": "c"}, key={"inlineString": "pem"})),
        mtls(provided(), skipValidation=True),
        mtls(enabled=""),
        mesh(mtls=None),
        mesh(
            routing={"localityAwareLoadBalancing": True, "defaultForbidMeshExternalServiceAccess": True},
            networking={"outbound": {"passthrough": False}},
            meshServices={"mode": "Exclusive"},
            skipCreatingInitialPolicies=["*"],
        ),
        mesh(constraints={"dataplaneProxy": {"requirements": [{"tags": {"kuma.io/zone": "*"}}]}}),
        logging(type="file", conf={"path": "/tmp/log"}),
        logging(type="tcp", format="%START_TIME%", conf={"address": "[::1]:99"}),
        tracing(type="zipkin", sampling=80.5, conf={"url": "http://z:9411/v2", "traceId128bit": True}),
        tracing(type="datadog", sampling=0, conf={"address": "d", "port": 8126, "splitService": True}),
        prometheus(port=5670, path="/metrics", tags={"kuma.io/service": "m"}, skipMTLS=True),
        prometheus(skipMTLS=True, tls={"mode": "disabled"}),
        prometheus(aggregate=[{"name": "a", "port": 1}, {"name": "b", "port": 2, "enabled": False}]),
    ],
)
def test_valid_meshes_pass(body: dict[str, Any]) -> None:
    assert isinstance(from_rest(body).spec, Mesh)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (
            mtls(builtin(), builtin()),
            [
                ("mtls.backends", "cannot have more than 1 backends"),
                ("mtls.backends[1].name", '"ca-1" name is already used for another backend'),
            ],
        ),
        (
            mtls(builtin(), enabled="ca-2"),
            [("mtls.enabledBackend", "has to be set to one of the backends in the mesh")],
        ),
        (
            mtls(builtin(dpCert={"rotation": {"expiration": "2e"}})),
            [("mtls.dpcert.rotation.expiration", "has to be a valid format")],
        ),
        (
            mtls(builtin(dpCert={"rotation": {"expiration": "0s"}})),
            [("mtls.dpcert.rotation.expiration", "has to be a valid format")],
        ),
        (
            mtls(builtin(type="vault")),
            [("mtls.backends[0].type", "could not find installed plugin for this type")],
        ),
        (
            mtls(builtin(name=""), enabled=""),
            [("mtls.backends[0].name", "cannot be empty")],
        ),
        (
            mtls(builtin(conf={"caCert": {"RSAbits": 512, "expiration": "soon"}})),
            [
                ("mtls.backends[0].conf.caCert.RSAbits", "has to be in the range [1024, 8192]"),
                ("mtls.backends[0].conf.caCert.expiration", "has to be a valid format"),
            ],
        ),
        (
            mtls(builtin(conf={"caCert": {"RSAbits": "many", "expiraton": "10y", "expiration": "soon"}})),
            [
                ("mtls.backends[0].conf.caCert.RSAbits", "must be a whole number"),
                (
                    "mtls.backends[0].conf.caCert.expiraton",
                    'unknown field; did you mean "expiration"?',
                ),
                ("mtls.backends[0].conf.caCert.expiration", "has to be a valid format"),
            ],
        ),
        (
            mtls(provided(key={"secret": "a", "file": "b"})),
            [
                ("mtls.backends[0].conf.cert", "has to be defined"),
                (
                    "mtls.backends[0].conf.key",
                    "data source has to be chosen. Available sources: secret, file, inline, inlineString",
                ),
            ],
        ),
        (
            mtls(provided(cert={"secret": ""}, key={"inline": "%"})),
            [
                ("mtls.backends[0].conf.key.inline", "must be base64 text"),
                ("mtls.backends[0].conf.cert", "cannot be empty"),
            ],
        ),
        (mesh(routing={"zoneEgress": True}), [("mtls", "has to be set when zoneEgress enabled")]),
        (
            {**mtls(builtin(), enabled=""), "routing": {"zoneEgress": True}},
            [("mtls", "has to be set when zoneEgress enabled")],
        ),
        (
            logging(name="", type="file", conf={"path": "/x"}),
            [("logging.backends[0].name", "cannot be empty")],
        ),
        (logging(type="file"), [("logging.backends[0].conf.path", "cannot be empty")]),
        (logging(type="tcp"), [("logging.backends[0].conf.address", "cannot be empty")]),
        (
            logging(type="tcp", conf={"address": "wrong-format:234:234"}),
            [("logging.backends[0].conf.address", "has to be in format of HOST:PORT")],
        ),
        (
            logging(type="xxx"),
            [("logging.backends[0].type", 'unknown backend type. Available backends: "tcp", "file"')],
        ),
        (
            mesh(logging={"defaultBackend": "x"}),
            [("logging.defaultBackend", "has to be set to one of the logging backend in mesh")],
        ),
        (
            tracing(type="zipkin", sampling=100.1, conf={"url": "http://z:1/"}),
            [("tracing.backends[0].sampling", "has to be in [0.0 - 100.0] range")],
        ),
        (tracing(type="zipkin"), [("tracing.backends[0].conf.url", "cannot be empty")]),
        (
            tracing(type="zipkin", conf={"url": "invalid-url"}),
            [("tracing.backends[0].conf.url", "invalid URL")],
        ),
        (
            tracing(type="zipkin", conf={"url": "http://z:port/"}),
            [("tracing.backends[0].conf.url", "invalid URL")],
        ),
        (
            tracing(type="zipkin", conf={"url": "http://z/v2", "apiVersion": "v3"}),
            [
                (
                    "tracing.backends[0].conf.apiVersion",
                    "has invalid value. Allowed values: httpJsonV1, httpJson, httpProto",
                ),
                ("tracing.backends[0].conf.url", "port has to be explicitly specified"),
            ],
        ),
        (
            tracing(type="datadog"),
            [
                ("tracing.backends[0].conf.address", "cannot be empty"),
                ("tracing.backends[0].conf.port", "port must be in the range [1, 65535]"),
            ],
        ),
        (
            tracing(name="", type="xxx"),
            [
                ("tracing.backends[0].name", "cannot be empty"),
                ("tracing.backends[0].type", 'unknown backend type. Available backends: "zipkin", "datadog"'),
            ],
        ),
        (
            mesh(tracing={"defaultBackend": "x"}),
            [("tracing.defaultBackend", "has to be set to one of the tracing backend in mesh")],
        ),
        (
            mesh(metrics={"enabledBackend": "x", "backends": [{"name": "b", "type": "xxx"}]}),
            [
                ("metrics.backends[0].type", 'unknown backend type. Available backends: "prometheus"'),
                ("metrics.enabledBackend", "has to be set to one of the backends in the mesh"),
            ],
        ),
        (
            prometheus(skipMTLS=True, tls={"mode": "activeMTLSBackend"}),
            [("metrics.backends[0].conf", "skipMTLS and tls configuration cannot be defined together")],
        ),
        (
            prometheus(port=70000, aggregate=[{"name": "a"}, {"name": "a"}]),
            [
                ("metrics.backends[0].conf.port", "port must be in the range [1, 65535]"),
                (
                    "metrics.backends[0].conf.aggregate[1].name",
                    "duplicate entry: a, values have to be unique",
                ),
            ],
        ),
        (
            mesh(
                constraints={
                    "dataplaneProxy": {
                        "requirements": [{}, {"tags": {"": ""}}],
                        "restrictions": [{"tags": {"!@": "!@"}}],
                    }
                }
            ),
            [
                ("constraints.dataplaneProxy.requirements[0].tags", "must have at least one tag"),
                ("constraints.dataplaneProxy.requirements[1].tags", "tag name must be non-empty"),
                ('constraints.dataplaneProxy.requirements[1].tags[""]', "tag value must be non-empty"),
                ('constraints.dataplaneProxy.restrictions[0].tags["!@"]', TAG_NAME),
                ('constraints.dataplaneProxy.restrictions[0].tags["!@"]', SELECTOR_VALUE),
            ],
        ),
    ],
)
def test_every_broken_rule_is_told(body: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    assert violations(body) == expected


def test_a_regular_expression_that_does_not_compile_is_told() -> None:
    [(field, message)] = violations(prometheus(envoy={"filterRegex": "("}))
    assert field == "metrics.backends[0].conf.envoy.filterRegex"
    assert message.startswith("provided regexp isn't correct: ")
