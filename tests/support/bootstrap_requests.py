"""Requests to POST /bootstrap, the facts that they are answered by, and the answers taken apart."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from kumacp import bootstrap_service
from kumacp.bootstrap_service import BootstrapAnswer, BootstrapFacts
from kumacp.identity.admin_ca import create_admin_ca, issue_admin_client
from kumacp.identity.server_cert import create_server_certificate, subject_names
from kumacp.identity.signing_keys import KeyRing
from kumacp.settings import CpSettings
from kumadp_bootstrap.yamltext import load
from kumamesh import tokens
from kumamesh.resource import Resource, ResourceKey
from kumamesh.resources.rest import from_rest
from kumamesh.resources.secret import GlobalSecret, Secret
from kumamesh.tokens import DataplaneClaims, SigningKey, ZoneClaims

NOW = 1_700_000_000.0
WHEN = datetime.fromtimestamp(NOW, UTC)
CERT, _ = create_server_certificate("cp.example", ["127.0.0.1", "::1"], WHEN)
ADMIN_CA = create_admin_ca(WHEN)
LEAF = issue_admin_client(ADMIN_CA, now=WHEN).certificate
PRIVATE, FOREIGN = tokens.generate_signing_key(), tokens.generate_signing_key()
KEY = SigningKey("1", PRIVATE)

DATAPLANE: dict[str, Any] = {
    "type": "Dataplane",
    "mesh": "default",
    "name": "web-1",
    "creationTime": "0001-01-01T00:00:00Z",
    "modificationTime": "0001-01-01T00:00:00Z",
    "networking": {
        "address": "192.168.0.1",
        "inbound": [{"port": 10001, "servicePort": 8080, "tags": {"kuma.io/service": "web"}}],
    },
}
INGRESS: dict[str, Any] = {
    "type": "ZoneIngress",
    "name": "zi-1",
    "networking": {"address": "192.168.0.2", "port": 10001},
}
MESH: dict[str, Any] = {"type": "Mesh", "name": "default"}
RING = KeyRing(
    [
        Resource(
            ResourceKey("Secret", "default", "dataplane-token-signing-key-default-1"), Secret(data=PRIVATE)
        ),
        Resource(ResourceKey("GlobalSecret", "", "zone-token-signing-key-1"), GlobalSecret(data=PRIVATE)),
        Resource(
            ResourceKey("Secret", "default", "dataplane-token-revocations-default"), Secret(data=b"revoked")
        ),
    ]
)


def facts(
    *stored: Mapping[str, Any], mesh: Mapping[str, Any] | None = MESH, **changes: Any
) -> BootstrapFacts:
    resources = [from_rest(document) for document in (*stored, *([mesh] if mesh else []))]
    by_key = {resource.key: resource for resource in resources}
    made = BootstrapFacts(
        settings=CpSettings(),
        port=5678,
        certificate_names=subject_names(CERT),
        ca_pem=CERT.decode(),
        keys=RING,
        now=NOW,
        lookup=by_key.get,
    )
    return replace(made, **changes)


def token(claims: tokens.Claims | None = None, key: SigningKey = KEY, valid_for_s: float = 60.0) -> str:
    return tokens.issue(claims or DataplaneClaims("web-1", "default"), key, now=NOW, valid_for_s=valid_for_s)


TOKEN = token()
ZONE_TOKEN = token(ZoneClaims("default", ("ingress", "egress")))


def body(resource: Any = DATAPLANE, **changes: Any) -> bytes:
    request: dict[str, Any] = {
        "mesh": "default",
        "name": "web-1",
        "proxyType": "dataplane",
        "dataplaneToken": TOKEN,
        "dataplaneResource": resource if isinstance(resource, str) else json.dumps(resource),
        "version": {"kumaDp": {"version": "2.13.0"}, "envoy": {"version": "1.40.0"}},
        "caCert": "",
        "dynamicMetadata": None,
        "readinessPort": 9902,
        "operatingSystem": "linux",
        "features": ["feature-delta-grpc"],
        "resources": {"maxHeapSizeBytes": 0},
        "workdir": "/tmp/kuma-dp",
        "metricsResources": {"certPath": "", "keyPath": ""},
        "systemCaPath": "",
        "ipv6Enabled": True,
        "spireResources": {"socketPath": ""},
        "somethingNew": 1,
    }
    merged = {**request, **changes}
    return json.dumps({key: value for key, value in merged.items() if value is not ...}).encode()


def ask(
    request: bytes, known: BootstrapFacts | None = None, *, host: str = "localhost:5678", accept: str = ""
) -> BootstrapAnswer:
    return bootstrap_service.answer(request, accept=accept, host_header=host, facts=known or facts())


def bootstrap(request: bytes, known: BootstrapFacts | None = None, **headers: str) -> dict[str, Any]:
    answer = ask(request, known, **headers)
    assert (answer.status, answer.content_type) == (200, "text/x-yaml"), answer.body
    return load(answer.body.decode(), "answer")


def refusal(request: bytes, known: BootstrapFacts | None = None, **headers: str) -> tuple[int, str]:
    answer = ask(request, known, **headers)
    assert answer.content_type == ("text/plain; charset=utf-8" if answer.body else "")
    assert b"\n" not in answer.body
    assert TOKEN.encode() not in answer.body
    return answer.status, answer.body.decode()
