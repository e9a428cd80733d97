"""Fuzz targets: resources as YAML and JSON, and the small languages in them."""

from __future__ import annotations

import json
from functools import cache
from random import Random
from typing import Any, get_args

import yaml

from fuzz import Target
from fuzz_mutate import bytes_mutation, change, json_mutation
from kumacp.api.exchange import Request
from kumacp.api.problem import Problem
from kumamesh.durations import format_duration, parse_duration
from kumamesh.errors import UserError
from kumamesh.resource import InvalidResource, ResourceKey
from kumamesh.resources import conf
from kumamesh.resources.base import Spec
from kumamesh.resources.registry import TYPES
from kumamesh.resources.rest import from_rest, spec_from_json, spec_to_json, to_rest
from kumamesh.resources.yamldoc import dump_document, load_documents
from kumamesh.sni import parse_tags_sni, resource_sni, tags_sni
from kumamesh.template import render

SECRET_TEXT = "bm90LXRvLWJlLXNob3du"
_MTLS = {
    "enabledBackend": "ca-1",
    "backends": [
        {
            "name": "ca-1",
            "type": "builtin",
            "mode": "PERMISSIVE",
            "dpCert": {"rotation": {"expiration": "1d"}, "requestTimeout": "10s"},
            "conf": {"caCert": {"RSAbits": 2048, "expiration": "10y"}},
        },
    ],
}
_TAGS = {"kuma.io/service": "web", "kuma.io/protocol": "http", "version": "v1"}
_HEAD = {"mesh": "default", "name": "a", "labels": {"team": "x"}, "creationTime": "2026-01-02T03:04:05Z"}
DOCUMENTS: tuple[dict[str, Any], ...] = (
    {
        "type": "Dataplane",
        **_HEAD,
        "networking": {
            "address": "192.168.0.1",
            "advertisedAddress": "10.0.0.1",
            "admin": {"port": 9901},
            "inbound": [
                {
                    "port": 8080,
                    "servicePort": 80,
                    "tags": _TAGS,
                    "state": "NotReady",
                    "serviceProbe": {"interval": "1s", "timeout": "2s", "tcp": {}},
                }
            ],
            "outbound": [{"port": 9000, "tags": {"kuma.io/service": "db"}}],
        },
        "metrics": {"name": "p", "type": "prometheus", "conf": {"port": 5670, "aggregate": [{"name": "x"}]}},
        "probes": {"port": 9000, "endpoints": [{"inboundPort": 1, "inboundPath": "/", "path": "/8080"}]},
    },
    {
        "type": "Dataplane",
        **_HEAD,
        "networking": {
            "address": "gateway.example",
            "gateway": {"tags": {"kuma.io/service": "edge"}, "type": "DELEGATED"},
            "transparentProxying": {"redirectPortInbound": 15006, "redirectPortOutbound": 15001},
        },
    },
    {"type": "Mesh", "name": "default", "mtls": _MTLS, "networking": {"outbound": {"passthrough": False}}},
    {
        "type": "Mesh",
        "name": "m",
        "logging": {"backends": [{"name": "f", "type": "file", "conf": {"path": "/tmp/x"}}]},
        "tracing": {"backends": [{"name": "z", "type": "zipkin", "conf": {"url": "http://x:9411/api"}}]},
        "metrics": {
            "backends": [{"name": "p", "type": "prometheus", "conf": {"path": "/m", "skipMTLS": True}}]
        },
        "constraints": {"dataplaneProxy": {"requirements": [{"tags": {"team": "*"}}]}},
        "meshServices": {"mode": "Exclusive"},
        "skipCreatingInitialPolicies": ["*"],
    },
    {"type": "Secret", **_HEAD, "data": SECRET_TEXT},
    {"type": "GlobalSecret", "name": "zone-token-signing-key-1", "data": SECRET_TEXT},
    {"type": "Zone", "name": "east", "enabled": True},
    {"type": "ZoneIngress", "name": "i", "networking": {"address": "10.0.0.1", "port": 10001}},
    {"type": "ZoneEgress", "name": "e", "zone": "east", "networking": {"address": "10.0.0.1", "port": 10002}},
    {
        "type": "TrafficPermission",
        **_HEAD,
        "sources": [{"match": {"kuma.io/service": "*"}}],
        "destinations": [{"match": _TAGS}],
    },
    {
        "type": "MeshTrafficPermission",
        **_HEAD,
        "spec": {
            "targetRef": {"kind": "Dataplane", "labels": {"app": "x"}},
            "rules": [{"default": {"allow": [{"spiffeID": {"type": "Exact", "value": "spiffe://a/b"}}]}}],
        },
    },
    {
        "type": "MeshTrafficPermission",
        "mesh": "default",
        "name": "b",
        "spec": {
            "from": [{"targetRef": {"kind": "MeshSubset", "tags": _TAGS}, "default": {"action": "Deny"}}]
        },
    },
    {
        "apiVersion": "kuma.io/v1alpha1",
        "kind": "TrafficPermission",
        "mesh": "default",
        "metadata": {"name": "a", "labels": {"kuma.io/mesh": "default"}},
        "spec": {"sources": [{"match": {"a": "b"}}], "destinations": [{"match": {"a": "*"}}]},
    },
)


@cache
def words() -> tuple[str, ...]:
    """Every field of every model, as JSON names it, and every value that a field may be limited to."""
    found = {"type", "mesh", "name", "labels", "spec", "apiVersion", "kind", "metadata", *TYPES}
    models = [type_.spec for type_ in TYPES.values()]
    models += [each for each in vars(conf).values() if isinstance(each, type) and issubclass(each, Spec)]
    seen: set[type[Spec]] = set()
    while models:
        model = models.pop()
        if model in seen:
            continue
        seen.add(model)
        for field in model.model_fields.values():
            found.add(str(field.serialization_alias or field.alias or ""))
            _collect(field.annotation, models, found)
    return tuple(sorted(found - {""}))


def _collect(annotation: Any, models: list[type[Spec]], found: set[str]) -> None:
    if isinstance(annotation, str):
        found.add(annotation)
    elif isinstance(annotation, type) and issubclass(annotation, Spec):
        models.append(annotation)
    for argument in get_args(annotation):
        _collect(argument, models, found)


def text_of(error: Exception) -> str:
    """The text of an error for people: one line that commands no terminal."""
    text = str(error)
    assert text.isprintable(), f"not one line: {text!r}"
    return text


def _named(text: str) -> str:
    assert text.startswith("seed.yaml"), text
    return text


def check_yaml(data: bytes) -> str:
    text = data.decode("utf-8", "surrogateescape" if data[:1] == b"\xff" else "replace")
    try:
        documents = load_documents(text, "seed.yaml")
    except UserError as error:
        return _named(text_of(error))
    for document in documents:
        assert load_documents(dump_document(document), "again") == [document]
        json.dumps(document, allow_nan=False)
    return f"{len(documents)} documents"


def _in_document(data: bytes, random: Random) -> bytes:
    """A change in what the YAML says, not in how it is written."""
    try:
        documents = load_documents(data.decode(), "seed")
    except (UserError, UnicodeDecodeError):
        return bytes_mutation()(data, random)
    changed = [change(document, random, words()) for document in documents]
    text = yaml.safe_dump_all(
        changed, default_flow_style=random.choice((True, False, None)), allow_unicode=True
    )
    return text.encode("utf-8", "replace")


def check_rest(data: bytes) -> str:
    """A body for the URL that it was meant for, or for the first one of its type."""
    try:
        body = Request("PUT", ("x",), body=data).json_object()
    except Problem as error:
        return f"problem {error.status}"
    outcome = ""
    for key in (None, ResourceKey("Dataplane", "default", "a"), ResourceKey("Mesh", "", "default")):
        outcome += _check_document(body, key, len(data))
    return outcome


def _violations(error: InvalidResource, size: int) -> str:
    shown = json.dumps([[violation.field, violation.message] for violation in error.violations])
    assert error.violations
    assert len(shown) < 100 * size + 50_000, f"{len(shown)} bytes of violations for {size} bytes"
    shown.encode()
    return f"{error.violations[0].message[:40]}/{min(len(error.violations), 3)};"


def _check_document(body: dict[str, Any], key: ResourceKey | None, size: int) -> str:
    try:
        resource = from_rest(body, key=key)
    except InvalidResource as error:
        return _violations(error, size)
    assert key is None or resource.key == key
    shown = json.dumps(to_rest(resource), allow_nan=False, ensure_ascii=False)
    shown.encode()
    assert from_rest(json.loads(shown)) == resource, "does not survive REST"
    stored = json.dumps(spec_to_json(resource.spec), allow_nan=False)
    assert spec_from_json(resource.type, json.loads(stored)) == resource.spec, "does not survive the store"
    hash(resource.spec)
    if resource.type.endswith("Secret") and len(resource.spec.data) > 8:
        assert SECRET_TEXT not in repr(resource)
    return f"{resource.type};"


def check_template(data: bytes) -> str:
    text = data.decode("utf-8", "replace")
    given = {"name": "web-1", "port": "{{ name }}", "x": "a\nb"}
    try:
        rendered = render(text, given, "seed.yaml")
    except UserError as error:
        return text_of(error)
    assert set(rendered.unused) <= set(given)
    if "{{" not in text:
        assert rendered.text == text
    return "rendered"


def check_duration(data: bytes) -> str:
    text = data.decode("utf-8", "replace")
    try:
        seconds = parse_duration(text)
    except ValueError as error:
        return text_of(error)[:30]
    assert text.replace("µ", "u").strip().isascii(), "only ASCII digits are digits"
    assert abs(seconds) <= 2**63 / 1e9
    again = parse_duration(format_duration(seconds))
    assert abs(again - seconds) <= max(1e-9, abs(seconds) * 1e-9)
    return "duration"


def check_sni(data: bytes) -> str:
    text = data.decode("utf-8", "replace")
    try:
        tags = parse_tags_sni(text)
    except ValueError:
        return "refused"
    service = tags["kuma.io/service"]
    again = parse_tags_sni(tags_sni({**tags, "mesh": "m"}, "m"))
    assert again == {**tags, "mesh": "m"}, again
    name = resource_sni(text, service, 80, "ms")
    assert all(len(part) <= 63 for part in name.split(".")[1:2])
    return f"{min(len(tags), 4)} tags"


_JSON_SEEDS = tuple(json.dumps(document).encode() for document in DOCUMENTS)
_YAML_SEEDS = (
    *(dump_document(document).encode() for document in DOCUMENTS),
    b"a: &x [1, 2]\nb: *x\n---\nc: {<<: {d: 1}, e: 0x1f, f: 1e3, g: ~}\n",
    b"%YAML 1.2\n---\na: |\n  text\n  more\nb: >-\n  folded\n...\n# end\n",
    b"? a\n: !!str 1\n'q': \"\\u263a\\x41\"\n",
)
_YAML_TOKENS = (
    b"---\n", b"...\n", b"&a ", b"*a", b"<<: *a", b"!!binary ", b"!!python/object:os.system ", b"!!set ",
    b"? ", b": ", b"- ", b"[", b"]", b"{", b"}", b"|\n", b">\n", b"\t", b"%TAG ! x\n", b"0x", b"0o17",
    b"1:30", b"yes", b".nan", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"\x85", b"\xe2\x80\xa8", b"#", b"'",
    b"2001-01-01",
)  # fmt: skip

TARGETS = (
    Target(
        "YAML documents", _YAML_SEEDS, (_in_document, bytes_mutation(*_YAML_TOKENS)), check_yaml, share=0.5
    ),
    Target(
        "REST bodies",
        _JSON_SEEDS,
        (json_mutation(*words()), json_mutation(*words()), bytes_mutation(b"NaN", b"1e999", b"\\ud800")),
        check_rest,
        share=1.0,
    ),
    Target(
        "templates",
        (b"name: {{ name }}\nport: {{{port}}}\n{{! note }}{{& x }}\n", b"{{#a}}{{/a}}{{>b}}", b"{" * 40),
        (bytes_mutation(b"{{", b"}}", b"{{{", b"}}}", b" " * 100, b"{{ name }}", b"\n"),),
        check_template,
    ),
    Target(
        "durations",
        (b"1h30m", b"250ms", b"-1.5us", "10µs".encode(), b"292y", b"0", b"+10d2w"),
        (
            bytes_mutation(
                b"ns", b"us", "µs".encode(), b"h", b"d", b".", b"9" * 400, "٣".encode(), b"-", b"e5"
            ),
        ),
        check_duration,
    ),
    Target(
        "SNI",
        (b"backend{mesh=default,version=v1}", b"backend", b"a{mesh=m}", b"{}"),
        (bytes_mutation(b"{", b"}", b"=", b",", b"mesh=", b"x" * 300),),
        check_sni,
    ),
)
