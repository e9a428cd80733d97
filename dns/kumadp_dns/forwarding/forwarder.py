"""Whom to ask, how long to wait, which reply to believe: the forwarder's decisions, without socket or clock.

Events come in as calls with the time, commands go out as lists. A try stays open when its time is up and the
next server is asked: the late answer of a slow server is still an answer.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from itertools import islice, takewhile

from kumadp_dns.forwarding.dice import Dice
from kumadp_dns.forwarding.lanes import Lanes
from kumadp_dns.forwarding.outcomes import (
    Command,
    Count,
    Deliver,
    Done,
    Forwarded,
    Notice,
    Send,
    Settings,
    Unanswered,
)
from kumadp_dns.forwarding.packet import (
    HEADER,
    MAX_QUERY,
    Verdict,
    disguised,
    judge,
    key,
    question_end,
)
from kumadp_dns.forwarding.resolv_conf import ResolvConf, Server
from kumadp_dns.forwarding.state import NEVER, Exchange, Peer, Try

_RESPELT = 4
"""How often a query is asked again at once because its letters came back otherwise."""
_TELLING = 8
"""Letters that make the spelling of a question telling: who asks in the same one has it from us."""


class Forwarder:
    """`entropy(n)` gives n bytes that nobody can foretell."""

    def __init__(self, settings: Settings, entropy: Callable[[int], bytes]) -> None:
        self.per_try_s = settings.per_try_s
        self._settings = settings
        self._dice = Dice(entropy)
        self._conf = ResolvConf()
        self._peers: dict[Server, tuple[Peer, Peer]] = {}
        """Over UDP and over TCP."""
        self._troubled: set[Peer] = set()
        self._turn = 0
        self._lanes = Lanes(self._dice)
        self._exchanges: dict[Hashable, Exchange] = {}
        """In the order in which they end."""
        self._due: dict[Exchange, float] = {}
        """When the current try ends, in this order unless `per_try_s` has changed: then some end late."""
        self._spellings: dict[bytes, Peer] = {}
        """Of questions on their way."""
        self._waiting = 0
        self._clients: dict[str, int] = {}
        self._out: list[Command] = []

    @property
    def waiting(self) -> int:
        """Queries without an outcome."""
        return self._waiting

    @property
    def idle(self) -> bool:
        """Nothing is on its way, and no socket open."""
        return not (self._exchanges or self._due or self._spellings or self._clients or self._lanes)

    def deadline(self) -> float | None:
        """When to call `expire`; an event may bring that forward, to `per_try_s` after it at the earliest."""
        ends = [exchange.deadline for exchange in islice(self._exchanges.values(), 1)]
        ends += islice(self._due.values(), 1)
        if self._lanes.deadline is not None:
            ends.append(self._lanes.deadline)
        return min(ends, default=None)

    def use(self, conf: ResolvConf) -> None:
        """Ask these servers from now on. What is known about those that stay is kept."""
        known = self._peers
        self._conf = conf
        self._peers = {
            server: known.get(server) or (Peer(server, False), Peer(server, True)) for server in conf.servers
        }
        self._troubled &= {peer for pair in self._peers.values() for peer in pair}
        self.per_try_s = min(conf.timeout_s or self._settings.per_try_s, self._settings.total_s)

    def submit(
        self, now: float, packet: bytes, tcp: bool, done: Done, client: str | None = None
    ) -> list[Command]:
        """A client's query. `client` is where it comes from when that is another host."""
        out = self._fresh()
        try:
            end = question_end(packet)
        except ValueError as error:
            return [Deliver((done,), Unanswered(str(error)))]
        if self._refuses(packet, end, done, client):
            return out
        name = (tcp, key(packet, end))
        exchange = self._exchanges.get(name)
        if exchange is None:
            exchange = Exchange(name, packet, end, now, now + self._settings.total_s, self._rounds())
            self._exchanges[name] = exchange
            exchange.plan = self._plan(now, exchange, tcp or self._conf.use_vc)
            self._advance(now, exchange)
        exchange.waiters.append(done)
        self._waiting += 1
        if client is not None:
            exchange.clients.append(client)
            self._clients[client] = self._clients.get(client, 0) + 1
        return out

    def received(self, now: float, number: int, reply: bytes) -> list[Command]:
        """Bytes that came in on a lane: one datagram, or one message of a connection."""
        out = self._fresh()
        lane = self._lanes.get(number)
        if lane is None:
            return out
        ident = int.from_bytes(reply[:2], "big")
        attempt = lane.tries.get(ident)
        if attempt is None and ident in lane.tries:
            return out  # a second reply, or one that comes too late
        verdict = judge(reply, attempt.question, exact=attempt.exact) if attempt else Verdict.FOREIGN
        if attempt is None or verdict is Verdict.FOREIGN:
            out.append(Count("spoofed"))
            if lane.heard_foreign():
                return out + self.failed(now, number, "spoofed")
        elif verdict is Verdict.OTHER_CASE:
            self._other_case(now, attempt)
        else:
            self._heard(now, attempt)
            self._replied(now, attempt, verdict, reply)
        return out

    def failed(self, now: float, number: int, reason: str) -> list[Command]:
        """A lane is broken: it could not be opened, was refused, reset or closed. `reason` is a word."""
        out = self._fresh()
        lane = self._lanes.get(number)
        if lane is None:
            return out
        peer, tries = lane.peer, self._lanes.lost(lane, out)
        # A server may close a connection that it has answered on at any time; that says nothing about it.
        closed = peer.tcp and lane.heard_at > NEVER
        if tries and not closed:
            self._unhealthy(now, peer, reason)
        for attempt in tries:
            exchange = attempt.exchange
            current = exchange.current is attempt
            self._over(attempt)
            if closed and current and not exchange.reconnected:
                exchange.reconnected = True
                self._ask(now, exchange, peer)
            else:
                self._count(exchange, peer, reason)
                self._advance_unless_busy(now, exchange, attempt)
        return out

    def expire(self, now: float) -> list[Command]:
        """What time alone brings about."""
        out = self._fresh()
        for exchange in list(takewhile(lambda each: each.deadline <= now, self._exchanges.values())):
            if exchange.current:
                self._count(exchange, exchange.current.lane.peer, "timeout")
            self._conclude(exchange, exchange.outcome())
        for exchange, _ in list(takewhile(lambda each: each[1] <= now, self._due.items())):
            if exchange.current:
                self._timed_out(now, exchange, exchange.current)
        self._lanes.expire(now, out)
        return out

    def _fresh(self) -> list[Command]:
        """The list that this event's commands go to."""
        self._out = []
        return self._out

    # Clients

    def _refuses(self, packet: bytes, end: int, done: Done, client: str | None) -> bool:
        settings = self._settings
        looped = self._spellings.get(packet[HEADER:end])
        if looped:
            word, text = "loop", f"forwarding loop: queries to {looped} come back"
            remedy = "it must not forward to this agent, and this agent's own queries must not be redirected"
            self._out.append(Notice("loop", f"{text}; {remedy}"))
        elif not self._peers:
            word, text = "no server", self._conf.problem or "no name server is known"
        elif self._waiting >= settings.waiting or (
            client is not None and self._clients.get(client, 0) >= settings.waiting_per_client
        ):
            word, text = "overload", "too many queries wait for name servers"
        elif len(packet) > MAX_QUERY:
            word, text = "too long", f"queries of more than {MAX_QUERY} bytes are not forwarded"
        else:
            return False
        self._out += (Count(word), Deliver((done,), Unanswered(text)))
        return True

    def _conclude(self, exchange: Exchange, outcome: Forwarded | Unanswered) -> None:
        del self._exchanges[exchange.key]
        self._due.pop(exchange, None)
        for attempt in exchange.tries:
            self._forget(attempt)
        exchange.tries.clear()  # they name the exchange, too: without this circle nothing is left to collect
        exchange.current = None
        if exchange.probed:
            exchange.probed.probed = False
        for client in exchange.clients:
            self._clients[client] -= 1
            if not self._clients[client]:
                del self._clients[client]
        if exchange.waiters:
            self._waiting -= len(exchange.waiters)
            self._out.append(Deliver(exchange.waiters, outcome))

    # Servers

    def _rounds(self) -> int:
        return self._conf.attempts or self._settings.attempts

    def _plan(self, now: float, exchange: Exchange, tcp: bool) -> list[Peer]:
        """Servers in the order in which they are asked: those that failed last. For each one that may be back
        a copy of the query finds out, beside the query itself."""
        peers = [pair[tcp] for pair in self._peers.values()]
        if self._conf.rotate:
            self._turn = (self._turn + 1) % len(peers)
            peers = peers[self._turn :] + peers[: self._turn]
        if not self._troubled:
            return peers
        healthy = [peer for peer in peers if peer.down_until is None]
        down = [peer for peer in peers if peer.down_until is not None]
        for peer in down if healthy else ():
            if not peer.probed and peer.down_until is not None and now >= peer.down_until:
                self._probe(now, exchange, peer)
        return healthy + down

    def _probe(self, now: float, like: Exchange, peer: Peer) -> None:
        probe = Exchange(peer, like.packet, like.question_end, now, like.deadline, 1)
        probe.probed, peer.probed = peer, True
        self._exchanges[probe.key] = probe
        self._ask(now, probe, peer)

    def _unhealthy(self, now: float, peer: Peer, reason: str) -> None:
        if peer.failed(now) and peer in self._peers.get(peer.server, ()):
            self._troubled.add(peer)
            self._out.append(Notice("health", f"name server {peer} fails ({reason}): others are asked first"))

    def _heard(self, now: float, attempt: Try) -> None:
        lane = attempt.lane
        lane.heard_at = now
        if attempt.exact:
            lane.peer.strikes = 0
        if lane.peer.heard(now):
            self._troubled.discard(lane.peer)
            self._out.append(Notice("health", f"name server {lane.peer} answers again"))

    # Tries

    def _ask(self, now: float, exchange: Exchange, peer: Peer) -> None:
        lane = self._lanes.pick(now, peer, self._out)
        ident = self._dice.below(65_536)
        while ident in lane.tries:
            ident = self._dice.below(65_536)
        packet, end = exchange.packet, exchange.question_end
        question, letters, keeps_case = packet[HEADER:end], 0, peer.keeps_case(now)
        if keeps_case:
            question, letters = disguised(question, self._dice.take(len(question)))
        attempt = Try(exchange, lane, ident, question, keeps_case and not peer.tcp, now)
        lane.tries[ident] = attempt
        lane.waiting += 1
        lane.left -= 1
        exchange.tries.append(attempt)
        exchange.current = attempt
        self._due.pop(exchange, None)
        self._due[exchange] = now + self.per_try_s
        if letters >= _TELLING:
            self._spellings[question] = peer
        whole = b"".join((ident.to_bytes(2, "big"), packet[2:HEADER], question, packet[end:]))
        self._out.append(Send(lane.number, whole))

    def _replied(self, now: float, attempt: Try, verdict: Verdict, reply: bytes) -> None:
        exchange, peer = attempt.exchange, attempt.lane.peer
        outcome = Forwarded(reply, peer.address, now - exchange.started, peer.tcp)
        if verdict is Verdict.ANSWER or (verdict is Verdict.TRUNCATED and peer.tcp):
            self._conclude(exchange, outcome)
            return
        self._over(attempt)
        if verdict is Verdict.TRUNCATED:
            exchange.reserve = outcome
            self._ask_over_tcp(now, exchange, attempt)
            return
        if exchange.reserve is None or _rcode(exchange.reserve.reply):
            exchange.reserve = outcome
        self._advance_unless_busy(now, exchange, attempt)

    def _ask_over_tcp(self, now: float, exchange: Exchange, attempt: Try) -> None:
        """The answer is too long for UDP. Without TCP the client gets what there is, and knows."""
        twin = self._twin(attempt.lane.peer)
        if twin is None or (twin.down_until is not None and now < twin.down_until):
            self._conclude(exchange, exchange.outcome())
        elif not any(each.lane.peer is twin for each in exchange.tries):
            self._ask(now, exchange, twin)

    def _twin(self, peer: Peer) -> Peer | None:
        """The same server over TCP."""
        pair = self._peers.get(peer.server)
        return pair[True] if pair else None

    def _other_case(self, now: float, attempt: Try) -> None:
        """Made up, or by a server that does not keep letters: the true reply is awaited, and one asked for
        that must come back on another way."""
        exchange, peer = attempt.exchange, attempt.lane.peer
        self._out.append(Count("case"))
        peer.gave_other_case(now)
        if exchange.current is attempt and exchange.respelt < _RESPELT:
            exchange.respelt += 1
            self._ask(now, exchange, peer)

    def _timed_out(self, now: float, exchange: Exchange, attempt: Try) -> None:
        lane = attempt.lane
        self._count(exchange, lane.peer, "timeout")
        if lane.peer.heard_at < attempt.sent_at:  # else it is this question that it has no answer to
            self._unhealthy(now, lane.peer, "timeout")
        if lane.peer.tcp and lane.heard_at < attempt.sent_at:
            self._lanes.retire(lane, self._out)
        exchange.silent.append(lane.peer)
        self._advance(now, exchange)

    def _advance_unless_busy(self, now: float, exchange: Exchange, attempt: Try) -> None:
        """`attempt` is over; a later one may have its time still."""
        if exchange.current in (attempt, None):
            self._advance(now, exchange)

    def _advance(self, now: float, exchange: Exchange) -> None:
        """Ask the next server. When there is none, wait for late answers unless there is something to say."""
        exchange.current = None
        self._due.pop(exchange, None)
        if not exchange.plan and exchange.rounds > 1 and not exchange.reserve:
            exchange.plan, exchange.silent = exchange.silent, []
            exchange.rounds -= 1
        if exchange.plan:
            self._ask(now, exchange, exchange.plan.pop(0))
        elif exchange.reserve or not exchange.tries:
            self._conclude(exchange, exchange.outcome())

    def _count(self, exchange: Exchange, peer: Peer, reason: str) -> None:
        exchange.failures[str(peer)] = reason
        self._out.append(Count(reason))

    def _over(self, attempt: Try) -> None:
        attempt.exchange.tries.remove(attempt)
        self._forget(attempt)

    def _forget(self, attempt: Try) -> None:
        self._spellings.pop(attempt.question, None)
        self._lanes.over(attempt, self._out)


def _rcode(reply: bytes) -> int:
    return reply[3] & 0x0F
