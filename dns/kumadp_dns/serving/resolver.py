"""From a client's query to its answer, whatever it came by: the table, the forwarder, and what is counted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from kumadp_dns.answers import explain, query, wire
from kumadp_dns.answers.table import Table
from kumadp_dns.figures import Figures
from kumadp_dns.forwarding.outcomes import Done, Forwarded, Unanswered

NOTHING = b""
"""For what gets no answer: responses, and what is too short to be a query."""

Reply = Callable[[bytes], None]


class Forwarder(Protocol):
    def submit(self, packet: bytes, tcp: bool, done: Done, client: str | None) -> None:
        """Calls `done` once, and not before this has returned. `client` is its address on another host."""


class Resolver:
    """Answers from the table it was given last, which it never waits for."""

    def __init__(self, figures: Figures, forwarder: Forwarder, clock: Callable[[], float]) -> None:
        self.answers: Mapping[bytes, bytes] = {}
        """Ready answers to plain queries, both without the id."""
        self._table: Table | None = None
        self._taken_at = 0.0
        self._figures = figures
        self._forwarder = forwarder
        self._clock = clock

    def use(self, table: Table, taken_at: float) -> None:
        """From the next query on. `taken_at` is when the agent was given its names."""
        self._table, self._taken_at, self.answers = table, taken_at, table.answers
        self._figures.table(table.names, taken_at)

    def ask(self, packet: bytes, tcp: bool, reply: Reply, client: str | None = None) -> bytes | None:
        """The answer, NOTHING, or None: then `reply` is called with it later."""
        started = self._clock()
        ready = self.answers.get(packet[2:])
        if ready is not None:
            self._figures.hits[packet[-3]] += 1
            self._figures.observe(self._clock() - started)
            return packet[:2] + ready
        verdict = query.decide(packet, self._table, tcp=tcp)
        if verdict is None:
            return NOTHING
        if isinstance(verdict, query.Answer):
            self._count(verdict, started)
            return self._explained(packet, verdict.packet, tcp)

        def done(outcome: Forwarded | Unanswered) -> None:
            answer = self._finished(packet, outcome, tcp)
            self._count(answer, started)
            reply(self._explained(packet, answer.packet, tcp, outcome))

        self._forwarder.submit(packet, tcp, done, client)
        return None

    def _finished(self, packet: bytes, outcome: Forwarded | Unanswered, tcp: bool) -> query.Answer:
        if isinstance(outcome, Unanswered):
            return query.failure(packet, wire.SERVFAIL, outcome.reason)
        return query.finish(packet, outcome.reply, self._table, tcp=tcp)

    def _count(self, answer: query.Answer, started: float) -> None:
        self._figures.count(answer.qtype, answer.source, answer.rcode)
        self._figures.observe(self._clock() - started)

    def _explained(
        self, packet: bytes, answer: bytes, tcp: bool, outcome: Forwarded | Unanswered | None = None
    ) -> bytes:
        """With where it comes from, if the client wants to know; failures say so by themselves."""
        if not explain.asked(packet) or isinstance(outcome, Unanswered):
            return answer
        if outcome:
            way = "TCP" if outcome.tcp else "UDP"
            text = f"{outcome.server} over {way}, {outcome.seconds * 1_000:.0f} ms"
        elif self._table:
            text = f"mesh table, {self._table.names} names, {self._clock() - self._taken_at:.0f} s old"
        else:
            return answer
        return explain.annotate(packet, answer, text, tcp=tcp)
