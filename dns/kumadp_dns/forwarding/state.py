"""What a forwarder knows: servers with their sockets, health and habits, and the questions on their way."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field

from kumadp_dns.forwarding.dice import Dice
from kumadp_dns.forwarding.outcomes import Done, Forwarded, Unanswered
from kumadp_dns.forwarding.resolv_conf import Server

RETRY_AFTER_S = 10.0
"""For how long a server that failed is asked last; then one query finds out whether it is back."""
PORTS = 8
"""UDP sockets that take queries to one server. A power of two."""
CONNECTIONS = 4

_BUSY = 8
"""Queries that wait on each connection before there is another one."""
_FOREIGN = 8
"""Messages on one socket that answer nothing: somebody has found its port, the next queries go elsewhere."""
_STRIKES = 3
_PLAIN_S = 600.0
"""For how long letters are not disguised for a server that gave back other ones so often in a row."""
NEVER = float("-inf")


@dataclass(slots=True, eq=False)
class Exchange:
    """One question and everybody who waits for its answer."""

    key: Hashable
    packet: bytes
    question_end: int
    started: float
    deadline: float
    rounds: int
    """How often silent servers are asked, this time included."""
    plan: list[Peer] = field(default_factory=list)
    """Who is to be asked, in this order."""
    tries: list[Try] = field(default_factory=list)
    """Those that may still be answered."""
    current: Try | None = None
    """The one whose time runs."""
    waiters: list[Done] = field(default_factory=list)
    clients: list[str] = field(default_factory=list)
    """Of those waiters that are on other hosts."""
    silent: list[Peer] = field(default_factory=list)
    reserve: Forwarded | None = None
    """What to pass on when nobody does better."""
    failures: dict[str, str] = field(default_factory=dict)
    """Why there is no answer, by server."""
    respelt: int = 0
    reconnected: bool = False
    probed: Peer | None = None
    """A server that failed: nobody waits for this, it only shows whether that is over."""

    def outcome(self) -> Forwarded | Unanswered:
        """When no answer came, or will."""
        if self.reserve:
            return self.reserve
        why = ", ".join(f"{server} {reason}" for server, reason in self.failures.items())
        return Unanswered(f"no name server answers: {why}" if why else "no name server answers")


@dataclass(slots=True, eq=False)
class Try:
    """A question put to one server, with an id and in a spelling of its own."""

    exchange: Exchange
    lane: Lane
    ident: int
    question: bytes
    exact: bool
    """The reply must keep large and small letters."""
    sent_at: float


@dataclass(slots=True, eq=False)
class Lane:
    """A socket that is connected to a server. No id is used twice on it, so that a late reply to one query
    can never pass for the reply to another."""

    number: int
    peer: Peer
    left: int
    """Queries that it still takes."""
    until: float
    tries: dict[int, Try | None] = field(default_factory=dict)
    """By id; None when over."""
    waiting: int = 0
    foreign: int = 0
    heard_at: float = NEVER
    retired: bool = False

    def heard_foreign(self) -> bool:
        """Whether it has become useless. A connection has: what it says can only come from its server, which
        could go on and on. Over UDP the true reply may still come."""
        self.foreign += 1
        if self.foreign < _FOREIGN:
            return False
        self.left = 0
        return self.peer.tcp


@dataclass(slots=True, eq=False)
class Peer:
    """One server over one transport."""

    server: Server
    tcp: bool
    lanes: list[Lane | None] = field(default_factory=list)
    down_until: float | None = None
    """None while it is healthy."""
    probed: bool = False
    heard_at: float = NEVER
    strikes: int = 0
    plain_until: float = NEVER
    address: str = ""

    def __post_init__(self) -> None:
        self.address = str(self.server)
        self.lanes = [None] * (CONNECTIONS if self.tcp else PORTS)

    def __str__(self) -> str:
        return f"{self.address} over {'TCP' if self.tcp else 'UDP'}"

    def failed(self, now: float) -> bool:
        """Whether that is news."""
        news = self.down_until is None
        self.down_until = now + RETRY_AFTER_S
        return news

    def heard(self, now: float) -> bool:
        """Whether it had failed before."""
        self.heard_at = now
        news = self.down_until is not None
        self.down_until = None
        return news

    def gave_other_case(self, now: float) -> None:
        self.strikes += 1
        if self.strikes >= _STRIKES:
            self.plain_until = now + _PLAIN_S

    def keeps_case(self, now: float) -> bool:
        """Whether letters can be disguised, and must come back so."""
        return now >= self.plain_until

    def slot(self, now: float, dice: Dice) -> tuple[int, bool]:
        """Which of `lanes` takes the next query, and whether that needs a new socket first."""
        return self._connection() if self.tcp else self._port(now, dice)

    def _port(self, now: float, dice: Dice) -> tuple[int, bool]:
        slot = dice.below(PORTS)
        lane = self.lanes[slot]
        return slot, lane is None or lane.left <= 0 or now >= lane.until

    def _connection(self) -> tuple[int, bool]:
        """The connection with the fewest queries, or a new one when all have plenty."""
        open_ = [(lane.waiting, slot) for slot, lane in enumerate(self.lanes) if lane and lane.left > 0]
        if open_ and (min(open_)[0] < _BUSY or len(open_) == CONNECTIONS):
            return min(open_)[1], False
        taken = {slot for _, slot in open_}
        return next(slot for slot in range(CONNECTIONS) if slot not in taken), True
