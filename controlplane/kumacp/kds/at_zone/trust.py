"""Whether the global control plane at the other end is the one that this zone belongs to.

One that has lost its store knows nothing: its empty lists would take the zone's configuration away, and its
new default mesh and signing keys would take the place of those in use. Every global has an id in its store,
which it sends as a Config; the zone remembers the one that it joined first, and takes nothing of another.
"""

from __future__ import annotations

from enum import Enum

from kumacp.kds.protocol.messages import Received

CONFIG = "Config"
CLUSTER_ID = "kuma-cluster-id"
"""The Config with the id of the global control plane; the only one that zones are told of."""
REMEMBERED = "kuma-global-cluster-id"
"""The zone's own Config with the id of the global that it joined; never synced."""


class Standing(Enum):
    """What is known of the other end of one stream."""

    UNKNOWN = "unknown"
    TRUSTED = "trusted"
    FOREIGN = "foreign"


class GlobalTrust:
    """Of one stream. `remembered` is the id of the global joined before, "" if none was; `allowed` the one
    that the settings name, which counts instead."""

    def __init__(self, remembered: str, allowed: str) -> None:
        self.remembered = remembered
        self.named = ""
        self.standing = Standing.UNKNOWN
        self.expected = allowed or remembered

    @property
    def trusted(self) -> bool:
        """Whether what the other end tells is to be taken over."""
        return self.standing is Standing.TRUSTED

    @property
    def to_remember(self) -> str | None:
        """The id to store, None if it is stored already or not trusted."""
        return self.named if self.trusted and self.named not in ("", self.remembered) else None

    def note(self, received: Received) -> None:
        """Something came; Configs tell who sent it. A global without an id may be the first, and no other."""
        if received.type != CONFIG:
            return
        named = next((item.spec.config for item in received.resources if item.name == CLUSTER_ID), "")
        if named or self.standing is Standing.UNKNOWN:
            self.named = named
            foreign = self.expected and named != self.expected
            self.standing = Standing.FOREIGN if foreign else Standing.TRUSTED
