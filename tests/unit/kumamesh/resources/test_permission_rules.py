"""Kuma's rules of TrafficPermission and MeshTrafficPermission (kuma-cp 2.10, 2.11)."""

from __future__ import annotations

from typing import Any

import pytest

from kumamesh.resources.rest import from_rest
from resource_documents import document, violations

ANY = {"match": {"kuma.io/service": "*"}}
ALLOW_ALL = [{"targetRef": {"kind": "Mesh"}, "default": {"action": "Allow"}}]
BAD_NAME = "invalid characters: must consist of lower case alphanumeric characters, '-', '.' and '_'."


def permission(**body: Any) -> dict[str, Any]:
    return document("TrafficPermission", **{"sources": [ANY], "destinations": [ANY], **body})


def policy(**spec: Any) -> dict[str, Any]:
    return document("MeshTrafficPermission", spec=spec)


def for_clients(*refs: dict[str, Any]) -> dict[str, Any]:
    return policy(**{"from": [{"targetRef": ref, "default": {"action": "Deny"}} for ref in refs]})


def for_proxies(**ref: Any) -> dict[str, Any]:
    return policy(targetRef=ref, **{"from": ALLOW_ALL})


def rule(**default: Any) -> dict[str, Any]:
    return policy(rules=[{"default": default}])


def spiffe(value: str, type_: str = "Exact") -> dict[str, Any]:
    return {"spiffeID": {"type": type_, "value": value}}


@pytest.mark.parametrize(
    "body",
    [
        permission(),
        permission(sources=[{"match": {"version": "1"}}, ANY]),
        for_clients(
            {"kind": "Mesh"},
            {"kind": "MeshSubset", "tags": {"kuma.io/zone": "us-east", "env": "dev"}},
            {"kind": "MeshService", "name": "backend"},
            {"kind": "MeshServiceSubset", "name": "backend", "tags": {"version": "*"}},
        ),
        for_proxies(kind="Dataplane", labels={"app": "a"}, sectionName="http"),
        for_proxies(kind="MeshService", labels={"kuma.io/zone": "east"}),
        for_proxies(kind="Mesh", proxyTypes=["Sidecar"]),
        rule(
            deny=[spiffe("spiffe://trust.domain/service")],
            allow=[spiffe("spiffe://trust.domain/ns/", "Prefix"), spiffe("spiffe://trust.domain", "Prefix")],
            allowWithShadowDeny=[{"spiffeId": {"type": "Exact", "value": "spiffe://td/a/b_c.d-1"}}],
        ),
        rule(allow=[{"sni": {"type": "Exact", "value": "a.example"}}]),
    ],
)
def test_valid_permissions_pass(body: dict[str, Any]) -> None:
    assert from_rest(body).mesh == "default"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (
            document("TrafficPermission"),
            [
                ("sources", "must have at least one element"),
                ("destinations", "must have at least one element"),
            ],
        ),
        (permission(sources=[{}]), [("sources[0].match", "must have at least one tag")]),
        (
            permission(destinations=[ANY, {"match": {"kuma.io/service": ""}}]),
            [('destinations[1].match["kuma.io/service"]', "tag value must be non-empty")],
        ),
        (policy(), [("spec", "at least one of 'from' or 'rules' has to be defined")]),
        (
            policy(**{"from": ALLOW_ALL, "rules": [{"default": {"deny": [spiffe("spiffe://a/b")]}}]}),
            [("spec", "field 'from' must be empty when 'rules' is defined")],
        ),
        (
            policy(targetRef={"kind": "Dataplane", "sectionName": "x"}),
            [
                ("spec.targetRef.sectionName", "can only be used with inbound policies"),
                ("spec", "at least one of 'from' or 'rules' has to be defined"),
            ],
        ),
        (
            policy(**{"from": [{}]}),
            [
                ("spec.from[0].targetRef.kind", "must be defined"),
                ("spec.from[0].default.action", "must be defined"),
            ],
        ),
        (
            policy(**{"from": [{"targetRef": {"kind": "Mesh"}, "default": {"action": "allow"}}]}),
            [("spec.from[0].default.action", 'must be one of "Allow", "Deny" or "AllowWithShadowDeny"')],
        ),
        (
            for_clients({"kind": "MeshGateway", "name": "x"}, {"kind": "Dataplane"}),
            [
                ("spec.from[0].targetRef.kind", "value is not supported"),
                ("spec.from[1].targetRef.kind", "value is not supported"),
            ],
        ),
        (
            for_proxies(kind="Mesh", name="m", mesh="m", tags={"a": "b"}, labels={"a": "b"}, sectionName="s"),
            [
                ("spec.targetRef.mesh", "must not be set with kind Mesh"),
                ("spec.targetRef.tags", "must not be set with kind Mesh"),
                ("spec.targetRef.labels", "must not be set with kind Mesh"),
                ("spec.targetRef.sectionName", "must not be set with kind Mesh"),
                ("spec.targetRef.name", "using name with kind Mesh is not yet supported"),
            ],
        ),
        (
            for_proxies(kind="MeshSubset", name="x", tags={"": "v", "a": "?"}),
            [
                ("spec.targetRef.name", "must not be set with kind MeshSubset"),
                ("spec.targetRef.tags", "tag name must be non-empty"),
                (
                    'spec.targetRef.tags["a"]',
                    "tag value must consist of alphanumeric characters, dots, dashes and underscores",
                ),
            ],
        ),
        (
            for_proxies(kind="MeshService", tags={"a": "b"}, proxyTypes=["Sidecar"]),
            [
                ("spec.targetRef.tags", "must not be set with kind MeshService"),
                ("spec.targetRef.proxyTypes", "must not be set with kind MeshService"),
                ("spec.targetRef.name", "must be set with kind MeshService"),
            ],
        ),
        (for_proxies(kind="MeshService", name="*"), [("spec.targetRef.name", BAD_NAME)]),
        (
            for_proxies(kind="MeshService", name="x", labels={"a": "b"}, sectionName="s"),
            [
                ("spec.targetRef.labels", "either labels or name and namespace must be specified"),
                ("spec.targetRef.sectionName", "sectionName should not be combined with labels"),
            ],
        ),
        (
            for_proxies(kind="MeshServiceSubset", namespace="n", tags={"a": "?"}),
            [
                ("spec.targetRef.namespace", "must not be set with kind MeshServiceSubset"),
                (
                    'spec.targetRef.tags["a"]',
                    "tag value must consist of alphanumeric characters, dots, dashes, slashes and underscores"
                    ' or be "*"',
                ),
                ("spec.targetRef.name", "must be set with kind MeshServiceSubset"),
            ],
        ),
        (
            for_proxies(kind="Mesh", proxyTypes=["Sidecar", "Sidecart"]),
            [("spec.targetRef.proxyTypes[1]", "value is not supported")],
        ),
        (
            rule(deny=[]),
            [
                (
                    "spec.rules[0]",
                    "at least one of 'allow', 'allowWithShadowDeny', 'deny' has to be defined",
                )
            ],
        ),
        (
            rule(deny=[spiffe("some-service")], allow=[spiffe("wrong", "Prefix")]),
            [
                ("spec.rules[0].default.allow[0].spiffeID", "must be a valid Spiffe ID"),
                ("spec.rules[0].default.deny[0].spiffeID", "must be a valid Spiffe ID"),
            ],
        ),
        (
            rule(allow=[spiffe("spiffe://a/b/"), {"spiffeID": {"value": "spiffe://a"}}, {}]),
            [
                ("spec.rules[0].default.allow[0].spiffeID", "must be a valid Spiffe ID"),
                ("spec.rules[0].default.allow[1].spiffeID.type", "must be defined"),
                ("spec.rules[0].default.allow[2]", "at least one of 'spiffeID', 'sni' has to be defined"),
            ],
        ),
        (
            rule(allow=[{"sni": {}}]),
            [
                ("spec.rules[0].default.allow[0].sni.type", "must be defined"),
                ("spec.rules[0].default.allow[0].sni.value", "cannot be empty"),
            ],
        ),
    ],
)
def test_every_broken_rule_is_told(body: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    assert violations(body) == expected
