"""What the two sides of a KDS stream say to each other, decoded (contract 8.3)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from kumamesh.resource import Resource, ResourceKey

HASH_SUFFIX = "hash-suffix"
PRODUCER_POLICIES = "producer-policy-flow"
OPTIONAL_TARGET_REF = "optional-top-level-target-ref"
PARTS = "kmesh-parts"
"""Ours: puts responses together that come in parts (kumacp.kds.protocol.parts), and keeps what it has of a
resource that comes without content."""
ZONE_PING_HEALTH = "zone-ping-health"

NODE_FEATURES = frozenset(
    {"zone-token", HASH_SUFFIX, "hg-mz-selector", PRODUCER_POLICIES, OPTIONAL_TARGET_REF, PARTS}
)
"""What this product announces in the metadata of its nodes."""
STREAM_FEATURES = (ZONE_PING_HEALTH, HASH_SUFFIX)
"""What a zone announces in the metadata of each stream."""


class MalformedMessage(ValueError):
    """Bytes that are no message of the protocol; one line, without anything of the content."""


@dataclass(frozen=True, slots=True)
class Node:
    """Who asks. `id` is the name of the zone in both directions; the rest comes with the first requests.

    `version` has the words of kumamesh.version.BuildInfo.to_wire, `config` is the configuration as JSON
    text, for people.
    """

    id: str
    version: Mapping[str, str] = field(default_factory=dict)
    config: str = field(default="", repr=False)
    control_plane_id: str = ""
    features: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Received:
    """A response, read.

    `invalid` has one line for each resource that cannot be read or breaks the rules of its type, and
    `unread` the keys of these: they are skipped and named in the NACK, but they are there, so what is stored
    under their keys stays. `passed_over` has one line for each resource that was taken without some of its
    fields.
    """

    type: str
    nonce: str
    resources: tuple[Resource, ...] = ()
    removed: tuple[ResourceKey, ...] = ()
    invalid: tuple[str, ...] = ()
    unread: frozenset[ResourceKey] = frozenset()
    passed_over: tuple[str, ...] = ()
    control_plane: str = ""
