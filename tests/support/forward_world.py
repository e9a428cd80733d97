"""Everything around the forwarder's decisions: clients, servers and time, all of them made up.

It keeps the rules of the game: a lane is opened before it is used and closed once, time does not stand still.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from random import Random

from kumadp_dns.forwarding.forwarder import Forwarder
from kumadp_dns.forwarding.outcomes import (
    DEFAULTS,
    Close,
    Command,
    Count,
    Deliver,
    Forwarded,
    Notice,
    Open,
    Send,
    Settings,
    Unanswered,
)
from kumadp_dns.forwarding.resolv_conf import ResolvConf, Server

A, TXT, HTTPS = 1, 16, 65
OPT = b"\0\0\x29\x10\0\0\0\0\0\0\0"
NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED = range(6)


def question(name: str, qtype: int = A) -> bytes:
    labels = b"".join(bytes((len(label),)) + label.encode() for label in name.split(".") if label)
    return labels + b"\0" + qtype.to_bytes(2, "big") + b"\0\1"


def query(name: str = "www.example.com", qtype: int = A, *, ident: int = 7, opt: bytes = b"") -> bytes:
    head = ident.to_bytes(2, "big") + b"\1\0\0\1\0\0\0\0\0" + bytes((bool(opt),))
    return head + question(name, qtype) + opt


def reply(to: bytes, rcode: int = NOERROR, *, tc: bool = False, tail: bytes = b"") -> bytes:
    """What a genuine server says to these bytes; `tail` stands for its records."""
    flags = bytes((0x81 | (2 if tc else 0), 0x80 | rcode))
    end = to.index(b"\0", 12) + 5
    return to[:2] + flags + b"\0\1" + bytes(6) + to[12:end] + tail


@dataclass(eq=False)
class Client:
    """One query and what became of it."""

    packet: bytes
    tcp: bool
    asked_at: float
    outcomes: list[Forwarded | Unanswered] = field(default_factory=list)

    @property
    def outcome(self) -> Forwarded | Unanswered:
        [outcome] = self.outcomes
        return outcome


@dataclass(frozen=True, eq=False)
class Sent:
    """A query that has left for a server."""

    lane: int
    server: Server
    tcp: bool
    packet: bytes

    @property
    def question(self) -> bytes:
        return self.packet[12 : self.packet.index(b"\0", 12) + 5]


class World:
    """`servers` are the last numbers of addresses: 1 is 10.0.0.1."""

    def __init__(self, servers: Iterable[int] = (1, 2), settings: Settings = DEFAULTS, seed: int = 1) -> None:
        self.settings = settings
        self.now = 1_000.0
        self.forwarder = Forwarder(settings, Random(seed).randbytes)
        self.lanes: dict[int, Open] = {}
        self.opened: set[int] = set()
        self.sent: list[Sent] = []
        self.counted: list[str] = []
        self.notices: list[str] = []
        self.use(*servers)

    def use(self, *servers: int, **options: object) -> None:
        found = tuple(Server(f"10.0.0.{number}") for number in servers)
        self.forwarder.use(ResolvConf(found, **options))  # type: ignore[arg-type]

    def ask(self, packet: bytes | None = None, *, tcp: bool = False, client: str | None = None) -> Client:
        asked = Client(query() if packet is None else packet, tcp, self.now)
        self.do(self.forwarder.submit(self.now, asked.packet, tcp, asked.outcomes.append, client))
        return asked

    def answer(self, sent: Sent, rcode: int = NOERROR, *, tc: bool = False, tail: bytes = b"") -> None:
        self.hear(sent.lane, reply(sent.packet, rcode, tc=tc, tail=tail))

    def hear(self, lane: int, data: bytes) -> None:
        self.do(self.forwarder.received(self.now, lane, data))

    def fail(self, lane: int, reason: str = "refused") -> None:
        self.do(self.forwarder.failed(self.now, lane, reason))

    def wait(self, seconds: float) -> None:
        """Time passes, and everything that is due on the way happens when it is due."""
        end = self.now + seconds
        while (due := self.forwarder.deadline()) is not None and due <= end:
            self.now = max(self.now, due)  # a new time for each try may bring an end forward
            self.do(self.forwarder.expire(self.now))
            again = self.forwarder.deadline()
            assert again is None or again > self.now
        self.now = end

    def take(self) -> list[Sent]:
        """What was sent since the last time."""
        sent, self.sent = self.sent, []
        return sent

    def servers(self) -> list[int]:
        """To whom that was."""
        return [int(each.server.host.rpartition(".")[2]) for each in self.take()]

    def do(self, commands: list[Command]) -> None:
        for command in commands:
            match command:
                case Open(lane):
                    assert lane not in self.opened
                    self.opened.add(lane)
                    self.lanes[lane] = command
                case Send(lane, packet):
                    self.sent.append(Sent(lane, self.lanes[lane].server, self.lanes[lane].tcp, packet))
                case Close(lane):
                    del self.lanes[lane]
                case Deliver(to, outcome):
                    for done in to:
                        done(outcome)
                case Count(reason):
                    self.counted.append(reason)
                case Notice(_, text):
                    self.notices.append(text)


def taken(world: World) -> Sent:
    """The one query that was sent since the last time."""
    [sent] = world.take()
    return sent


def why(client: Client) -> str:
    """There is no answer."""
    assert isinstance(client.outcome, Unanswered)
    return client.outcome.reason
