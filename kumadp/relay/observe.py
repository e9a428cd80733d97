"""What passes on an xDS stream: acknowledgements, refusals, counts. Pure; only envelopes are parsed, the
resources in them stay opaque (DESIGN.md 3.4)."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

from envoy.service.discovery.v3 import discovery_pb2
from google.protobuf.message import DecodeError

from kumadp.relay.name_table import NameTable
from kumamesh.xds import CLUSTER, LISTENER

ADS = "/envoy.service.discovery.v3.AggregatedDiscoveryService/"
DELTA = ADS + "DeltaAggregatedResources"
STATE_OF_THE_WORLD = ADS + "StreamAggregatedResources"
_MAX_OUTSTANDING = 1_024
"""Pushes of one stream that may wait for an answer; far above what Envoy leaves open."""
_MAX_TYPES = 64
"""Resource types that are counted apart; Envoy knows a dozen. Those beyond are counted together."""
_OTHER_TYPES = "other"


@dataclass(frozen=True, slots=True)
class Accepted:
    """Envoy took a push."""

    type_url: str
    nonce: str


@dataclass(frozen=True, slots=True)
class Rejected:
    """Envoy did not take a push; `text` is Envoy's, in one line."""

    type_url: str
    nonce: str
    text: str


@dataclass(slots=True)
class TypeCounts:
    """Of one resource type on one stream."""

    requests: int = 0
    responses: int = 0
    resources: int = 0
    acks: int = 0
    nacks: int = 0
    last_nonce: str = ""
    acked_nonce: str = ""


@dataclass(slots=True)
class Observer:
    """One stream, seen from the relay. Streams share `names` and nothing else: nonces belong to one."""

    delta: bool
    names: NameTable | None = None
    """Told of listeners, where it is wanted."""
    types: dict[str, TypeCounts] = field(default_factory=dict)
    undecodable: int = 0
    _outstanding: OrderedDict[str, str] = field(default_factory=OrderedDict)

    def request(self, raw: bytes) -> Accepted | Rejected | None:
        """A message on its way to the control plane. A broken one is counted and otherwise ignored: whether
        it is acceptable is for the control plane to say."""
        kind = discovery_pb2.DeltaDiscoveryRequest if self.delta else discovery_pb2.DiscoveryRequest
        try:
            message = kind.FromString(raw)
        except DecodeError:
            self.undecodable += 1
            return None
        counts = self._counts(message.type_url)
        counts.requests += 1
        if self.names and message.type_url == LISTENER and counts.requests == 1:
            self.names.began(message.initial_resource_versions if self.delta else None)
        nonce = message.response_nonce
        # In delta xDS a later subscription has no nonce; in SotW it repeats the last one.
        if not nonce or self._outstanding.pop(nonce, None) is None:
            return None
        seen = self._answer(message, counts)
        if self.names and message.type_url == LISTENER:
            self.names.answered(nonce, seen.text if isinstance(seen, Rejected) else None)
        return seen

    def _answer(self, message: Any, counts: TypeCounts) -> Accepted | Rejected:
        nonce = message.response_nonce
        if message.HasField("error_detail"):
            counts.nacks += 1
            return Rejected(message.type_url, nonce, " ".join(message.error_detail.message.split()))
        counts.acks += 1
        counts.acked_nonce = nonce
        return Accepted(message.type_url, nonce)

    def response(self, raw: bytes) -> None:
        """A message on its way to Envoy; call it before handing the message on, or its ACK may come first."""
        kind = discovery_pb2.DeltaDiscoveryResponse if self.delta else discovery_pb2.DiscoveryResponse
        try:
            message = kind.FromString(raw)
        except DecodeError:
            self.undecodable += 1
            return
        counts = self._counts(message.type_url)
        counts.responses += 1
        counts.resources += len(message.resources)
        counts.last_nonce = message.nonce
        if self.names and message.type_url == LISTENER:
            self.names.pushed(message, delta=self.delta)
        self._outstanding[message.nonce] = message.type_url
        if len(self._outstanding) > _MAX_OUTSTANDING:
            self._outstanding.popitem(last=False)

    def _counts(self, type_url: str) -> TypeCounts:
        if type_url not in self.types and len(self.types) >= _MAX_TYPES:
            type_url = _OTHER_TYPES
        return self.types.setdefault(type_url, TypeCounts())


def observer_for(method: str, names: NameTable | None = None) -> Observer | None:
    """None for methods that carry no discovery messages, such as HDS."""
    if method not in (DELTA, STATE_OF_THE_WORLD):
        return None
    return Observer(delta=method == DELTA, names=names)


@dataclass(slots=True)
class Progress:
    """What Envoy has accepted since it started, over all streams."""

    accepted: set[str] = field(default_factory=set)

    def note(self, type_url: str) -> bool:
        """True once: when the first clusters and the first listeners are both accepted."""
        before = self.configured
        self.accepted.add(type_url)
        return self.configured and not before

    @property
    def configured(self) -> bool:
        return {CLUSTER, LISTENER} <= self.accepted


def short_type(type_url: str) -> str:
    """`Listener` for its type URL."""
    return type_url.rpartition(".")[2] or "unknown"
