"""What goes in and out of a delta session: decoded requests and responses, and verdicts on what was sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from kumamesh.xds import XdsResource

WILDCARD = "*"


class Dialect(Enum):
    """How the two protocols that use delta xDS differ.

    ENVOY: initial versions count; the first request for clusters or listeners that names nothing is a
    wildcard, and what is refused with others is looked for among them. KDS: no initial versions, so the
    first response of a type is full state, and every type is answered once even when there is nothing; the
    first request for any type that names nothing is a wildcard; a client that refuses a response has taken
    what is good of it (contract 8.3).
    """

    ENVOY = "envoy"
    KDS = "kds"


@dataclass(frozen=True, slots=True)
class DeltaRequest:
    """A DeltaDiscoveryRequest. `error` None is an ACK when `nonce` is set; a text is a NACK."""

    type_url: str
    subscribe: tuple[str, ...] = ()
    unsubscribe: tuple[str, ...] = ()
    initial_versions: Mapping[str, str] = field(default_factory=dict)
    nonce: str = ""
    error: str | None = None


@dataclass(frozen=True, slots=True)
class DeltaResponse:
    """A DeltaDiscoveryResponse; resources and removed names are sorted by name."""

    type_url: str
    nonce: str
    resources: tuple[XdsResource, ...]
    removed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Ack:
    """The client took a response. `changed_at` is when the oldest change in it was announced, if one was."""

    type_url: str
    changed_at: float | None


@dataclass(frozen=True, slots=True)
class Nack:
    """The client refused a response that carried `names`; `error` is its text."""

    type_url: str
    names: tuple[str, ...]
    error: str


Verdict = Ack | Nack


@dataclass(slots=True)
class Counters:
    """Responses of one type."""

    sent: int = 0
    acked: int = 0
    nacked: int = 0
