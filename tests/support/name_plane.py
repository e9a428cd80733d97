"""A control plane that pushes listeners, with name tables among them, when a test says so."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from envoy.config.listener.v3 import listener_pb2
from envoy.service.discovery.v3 import discovery_pb2

from dynconf_listener import dynconf
from fake_cp import FakeControlPlane, Stream
from kumamesh.xds import LISTENER
from lab import eventually

Listeners = Sequence[listener_pb2.Listener]


def records(names: Mapping[str, Sequence[str]]) -> str:
    """Kuma's JSON."""
    listed = [{"name": name, "ips": list(ips)} for name, ips in names.items()]
    return json.dumps({"records": listed, "ttl": 30})


class NamePlane:
    """For one proxy; its first listeners are `first`."""

    def __init__(self, plane: FakeControlPlane, socket: str, *, delta: bool = True) -> None:
        self.plane, self.socket, self.delta = plane, socket, delta
        self.first: Listeners = ()
        self.answers: dict[str, str] = {}
        """By nonce: Envoy's complaint, "" for none."""
        self._stream: Stream | None = None
        plane.delta, plane.script = delta, self._serve

    def table(self, names: Mapping[str, Sequence[str]]) -> listener_pb2.Listener:
        return self.page(records(names))

    def page(self, text: str) -> listener_pb2.Listener:
        return dynconf({"/dns": text}, self.socket)

    def push(self, nonce: str, *listeners: listener_pb2.Listener, removed: Sequence[str] = ()) -> str:
        """Envoy's answer to it. In delta xDS these listeners are new or changed, else they are all."""
        assert self._stream
        self.plane.do(self._stream.write(self._response(nonce, LISTENER, listeners, removed)))
        return (
            eventually(lambda: self.answers.get(nonce, None) is not None, "Envoy's answer")
            and self.answers[nonce]
        )

    async def _serve(self, stream: Stream) -> None:
        seen: set[str] = set()
        kind = discovery_pb2.DeltaDiscoveryRequest if self.delta else discovery_pb2.DiscoveryRequest
        self._stream = stream
        while (raw := await stream.read()) is not None:
            request = kind.FromString(raw)
            if request.response_nonce:
                self.answers[request.response_nonce] = request.error_detail.message
            if request.type_url not in seen:
                seen.add(request.type_url)
                listeners = self.first if request.type_url == LISTENER else ()
                await stream.write(self._response(request.type_url, request.type_url, listeners))

    def _response(
        self, nonce: str, type_url: str, listeners: Listeners, removed: Sequence[str] = ()
    ) -> bytes:
        if self.delta:
            message = discovery_pb2.DeltaDiscoveryResponse(
                type_url=type_url, nonce=nonce, removed_resources=removed
            )
            for listener in listeners:
                message.resources.add(name=listener.name, version=nonce).resource.Pack(listener)
        else:
            message = discovery_pb2.DiscoveryResponse(type_url=type_url, nonce=nonce, version_info=nonce)
            for listener in listeners:
                message.resources.add().Pack(listener)
        return bytes(message.SerializeToString())
