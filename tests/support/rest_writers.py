"""Clients that write over REST and remember what was acknowledged, so that somebody can look for it later."""

from __future__ import annotations

import base64
import http.client
import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any

ABSENT = ""
"""The state of a resource that is not there; else the state is the value written last."""
_KEYS = 12


@dataclass(frozen=True)
class Kind:
    """How a value is written into a document of a type, and read back from it."""

    type: str
    path: str
    body: Callable[[str], Mapping[str, Any]]
    value: Callable[[Mapping[str, Any]], str]


def _secret_value(document: Mapping[str, Any]) -> str:
    return base64.b64decode(document["data"]).decode()


def _networking(value: str) -> dict[str, Any]:
    """Several inbounds, so that a resource that is half written would show."""
    inbounds = [
        {"port": port, "tags": {"kuma.io/service": "web", "value": value}} for port in range(8080, 8090)
    ]
    return {"networking": {"address": "127.0.0.1", "inbound": inbounds}}


def _inbound_value(document: Mapping[str, Any]) -> str:
    values = {inbound["tags"]["value"] for inbound in document["networking"]["inbound"]}
    assert len(document["networking"]["inbound"]) == 10
    assert len(values) == 1, f"half of one write, half of another: {values}"
    return str(values.pop())


def _permission(value: str) -> dict[str, Any]:
    return {
        "sources": [{"match": {"kuma.io/service": value}}],
        "destinations": [{"match": {"kuma.io/service": value}}],
    }


def _permission_value(document: Mapping[str, Any]) -> str:
    (source,), (destination,) = document["sources"], document["destinations"]
    assert source == destination
    return str(source["match"]["kuma.io/service"])


KINDS = (
    Kind(
        "Secret", "secrets", lambda value: {"data": base64.b64encode(value.encode()).decode()}, _secret_value
    ),
    Kind("Dataplane", "dataplanes", _networking, _inbound_value),
    Kind("TrafficPermission", "traffic-permissions", _permission, _permission_value),
)


@dataclass
class Writer:
    """Owns the resources of a type whose names begin with `prefix`. `known` are the states that each may
    have: one, or two when the server died while a request was on its way."""

    port: int
    kind: Kind
    prefix: str
    random: Random
    known: dict[str, set[str]] = field(default_factory=dict)
    acknowledged: int = 0
    refused: list[str] = field(default_factory=list)
    _number: int = 0

    def run(self, stop: threading.Event) -> None:
        """Write until the server is gone, or `stop`."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            while not stop.is_set():
                self._write(connection)
        except (OSError, http.client.HTTPException):
            return
        finally:
            connection.close()

    def _write(self, connection: http.client.HTTPConnection) -> None:
        name = f"{self.prefix}-{self.random.randrange(_KEYS)}"
        (state,) = self.known.setdefault(name, {ABSENT})
        self._number += 1
        wanted = ABSENT if state and self.random.random() < 0.3 else f"{self.prefix}-{self._number}"
        path = f"/meshes/default/{self.kind.path}/{name}"
        self.known[name] = {state, wanted}  # until the answer is here
        if wanted:
            head = {"type": self.kind.type, "mesh": "default", "name": name}
            connection.request("PUT", path, json.dumps({**head, **self.kind.body(wanted)}))
        else:
            connection.request("DELETE", path)
        answer = connection.getresponse()
        text = answer.read()
        if answer.status == (200 if state or not wanted else 201):
            self.known[name] = {wanted}
            self.acknowledged += 1
        else:
            self.refused.append(f"{answer.status} {text.decode()}")
            self.known[name] = {state}

    def settle(self, present: Mapping[str, Mapping[str, Any]]) -> None:
        """Compare with what is there after a restart, and go on from that."""
        for name, states in self.known.items():
            document = present.get(name)
            found = self.kind.value(document) if document is not None else ABSENT
            assert found in states, (
                f"{self.kind.type} {name} is {found!r}, but was acknowledged as one of {states}"
            )
            self.known[name] = {found}
