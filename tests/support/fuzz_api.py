"""Fuzz target: the REST API. Strangers get no secret and change none, and nobody gets a 500."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Sequence
from functools import cache
from random import Random
from typing import Any
from urllib.parse import unquote

from yarl import URL

from fuzz import Target
from fuzz_mutate import bytes_mutation, json_mutation
from fuzz_resources import DOCUMENTS, words
from kumacp.api.application import InstanceFacts
from kumacp.api.exchange import Answer, Request
from kumacp.api.server import ApiServer
from kumacp.identity.signing_keys import KeyRing
from kumacp.manager.resource_driver import ResourceManager
from kumacp.store.memory import MemoryStore
from kumamesh.resource import Resource
from kumamesh.resources.rest import from_rest
from running_api import LOOPBACK, _first_start

_STRANGER, _LOCAL = "10.0.0.9", "127.0.0.1"
_FACTS = InstanceFacts("host", "instance", "cluster")


@cache
def _loop() -> asyncio.AbstractEventLoop:
    return asyncio.new_event_loop()


@cache
def _stored() -> tuple[Resource, ...]:
    """A first start, and one resource of every kind. Call it before the loop runs."""
    found = {resource.key: resource for resource in _loop().run_until_complete(_first_start())}
    for document in DOCUMENTS:
        resource = from_rest(document)
        found.setdefault(resource.key, resource)
    return tuple(found.values())


@cache
def _secrets() -> tuple[str, ...]:
    """What strangers must not see: the values of all secrets, as they are shown and as they are."""
    data = [resource.spec.data for resource in _stored() if resource.type.endswith("Secret")]
    shown = [base64.b64encode(each).decode()[:60] for each in data]
    return tuple(each for each in (*shown, "PRIVATE KEY") if len(each) >= 11)


def check_api(data: bytes) -> str:
    """`<stranger|local> METHOD target`, headers, an empty line and the body."""
    head, _, body = data.partition(b"\n\n")
    first, *lines = head.decode("latin-1").split("\n")
    who, method, target = (*first.split(" ", 2), "", "", "")[:3]
    peer = _LOCAL if who == "local" else _STRANGER
    try:
        url = URL(target, encoded=True)
        path, query = url.raw_path.strip("/"), tuple(url.query.items())
    except ValueError:
        return "no URL"
    headers = {
        name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
    }
    segments = tuple(unquote(part) for part in path.split("/")) if path else ()
    if method == "PUT" and len(segments) == 2 and segments[0] == "meshes":
        return "a new mesh takes too long"
    request = Request(method, segments, query, headers, body, peer)
    stored = _stored()
    return _loop().run_until_complete(_ask(request, stored, local=peer == _LOCAL))


async def _ask(request: Request, stored: Sequence[Resource], *, local: bool) -> str:
    store = MemoryStore()
    await store.create_all(stored)
    manager = ResourceManager(store, LOOPBACK)

    async def keys() -> KeyRing:
        return KeyRing([*await store.list("Secret"), *await store.list("GlobalSecret")])

    server = ApiServer(LOOPBACK, store, manager, keys, _FACTS, certificate=None)
    answer = await server._application.handle(request)
    _check(answer, request, local=local)
    if not local:
        await _nothing_secret_changed(store)
    await store.close()
    return f"{answer.status} {_title(answer)}"


def _check(answer: Answer, request: Request, *, local: bool) -> None:
    assert answer.status < 500, answer.body
    text = answer.body.decode()
    if answer.content_type.endswith("json"):
        json.loads(text, parse_constant=_refuse)
    elif "yaml" not in answer.content_type:
        assert answer.content_type.startswith("text/")
    for name, value in answer.headers.items():
        assert (name + value).isprintable()
    if not local:
        said = f"{request.path}{request.query}{request.headers}{request.body!r}"
        shown = [secret for secret in _secrets() if secret in text and secret not in said]
        assert not shown, "a stranger sees a secret"
        assert not request.path.startswith("/tokens") or answer.status >= 400


async def _nothing_secret_changed(store: MemoryStore) -> None:
    for type_ in ("Secret", "GlobalSecret"):
        before = {resource.key: resource.spec for resource in _stored() if resource.type == type_}
        after = {resource.key: resource.spec for resource in await store.list(type_)}
        assert after == before, "a stranger changed a secret"


def _title(answer: Answer) -> str:
    if not answer.content_type.endswith("json"):
        return answer.content_type
    document = json.loads(answer.body)
    return str(document.get("title", sorted(document)))[:50] if isinstance(document, dict) else "list"


def _refuse(name: str) -> Any:
    raise AssertionError(f"{name} is not JSON")


_mutate_body = json_mutation(*words())


def _in_body(data: bytes, random: Random) -> bytes:
    head, _, body = data.partition(b"\n\n")
    return head + b"\n\n" + _mutate_body(body, random)


def _in_head(data: bytes, random: Random) -> bytes:
    head, _, body = data.partition(b"\n\n")
    return _mutate_head(head, random) + b"\n\n" + body


_mutate_head = bytes_mutation(
    b"/", b"//", b"%2f", b"%2e%2e", b"..", b"%00", b"%0a", b"_overview", b"meshes", b"default", b"secrets",
    b"dataplanes", b"global-secrets", b"?", b"&", b"size=", b"offset=", b"filter[labels.a]=b", b"tag=a:b",
    b"name=", b"9" * 30, b"+insights", b"who-am-i", b"config", b"tokens/dataplane", b"local", b"GET ",
    b"PUT ", b"POST ", b"DELETE ", b"\nhost: localhost", b"\nx-forwarded-for: 1.2.3.4",
    b"\nauthorization: Bearer a.b.c", b"format=kubernetes", b"_rules", b"policies", b"xds",
)  # fmt: skip


def _seeds() -> tuple[bytes, ...]:
    paths = {
        "Dataplane": "/meshes/default/dataplanes/a",
        "Secret": "/meshes/default/secrets/a",
        "GlobalSecret": "/global-secrets/zone-token-signing-key-1",
        "Zone": "/zones/east",
        "ZoneIngress": "/zoneingresses/i",
        "ZoneEgress": "/zoneegresses/e",
        "TrafficPermission": "/meshes/default/traffic-permissions/a",
        "MeshTrafficPermission": "/meshes/default/meshtrafficpermissions/a",
    }
    seeds = []
    for who in ("local", "stranger"):
        head = "\nhost: localhost:5681\naccept: application/json\n\n"
        for document in DOCUMENTS:
            path = paths.get(document.get("type", ""))
            if path:
                seeds.append(f"{who} PUT {path}{head}{json.dumps(document)}")
                seeds.append(f"{who} GET {path}{head}")
                seeds.append(f"{who} DELETE {path}{head}")
        seeds += [f"{who} GET {path}{head}" for path in _READ]
        for kind, body in _TOKENS.items():
            seeds.append(f"{who} POST /tokens/{kind}{head}{json.dumps(body)}")
    return tuple(seed.encode() for seed in seeds)


_READ = (
    "/",
    "/meshes?size=1",
    "/secrets",
    "/global-secrets",
    "/config",
    "/who-am-i",
    "/dataplanes?tag=version:v1&gateway=true&name=a&offset=0",
    "/meshes/default/dataplanes/_overview?filter[labels.team]=x",
    "/meshes/default/dataplanes+insights/a",
    "/meshes/default/service-insights",
    "/mesh-insights/default",
    "/meshes/default/dataplane-insights",
)
_TOKENS = {
    "dataplane": {
        "name": "web-1",
        "mesh": "default",
        "tags": {"a": ["b"]},
        "type": "dataplane",
        "validFor": "1h",
    },
    "zone": {"zone": "east", "scope": ["ingress"], "validFor": "1h"},
    "user": {"name": "ann", "groups": ["g"], "validFor": "1h"},
}

TARGETS = (
    Target("REST API", _seeds(), (_in_head, _in_body, _in_head, bytes_mutation(b"\n")), check_api, share=0.1),
)
