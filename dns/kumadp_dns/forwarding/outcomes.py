"""What goes into the forwarder's decisions and what comes out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from kumadp_dns.forwarding.resolv_conf import Server


class Forwarded(NamedTuple):
    """A server's reply, with an id and a case of the question that are not the client's."""

    reply: bytes
    server: str
    seconds: float
    tcp: bool


class Unanswered(NamedTuple):
    """Nobody answered; `reason` is a text for the one who asked."""

    reason: str


Done = Callable[[Forwarded | Unanswered], None]
"""Told the outcome of one query, once. The forwarder's decisions carry it and never call it."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Bounds. `resolv.conf` may say something else about a try and the attempts."""

    per_try_s: float = 2.0
    """The next server is asked when this one was silent for so long."""
    total_s: float = 5.0
    """Every query has its outcome after so long at the latest: the C library asks no longer, either."""
    attempts: int = 2
    """How often silent servers are asked for one query."""
    waiting: int = 4_096
    """Queries of all clients."""
    waiting_per_client: int = 1_024
    """Queries of one client on another host; local ones cannot be told apart."""


DEFAULTS = Settings()


class Open(NamedTuple):
    """Make a socket of this number, connected to the server, from a port that cannot be foretold."""

    lane: int
    server: Server
    tcp: bool


class Send(NamedTuple):
    lane: int
    packet: bytes


class Close(NamedTuple):
    """The number is not used again."""

    lane: int


class Deliver(NamedTuple):
    to: Sequence[Done]
    outcome: Forwarded | Unanswered


class Count(NamedTuple):
    """Something failed or was ignored: a word for the figures."""

    reason: str


class Notice(NamedTuple):
    """A line for a person; `kind` groups those that there may be many of."""

    kind: str
    text: str


Command = Open | Send | Close | Deliver | Count | Notice
