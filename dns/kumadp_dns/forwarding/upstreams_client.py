"""Queries for upstream servers: carries out what `forward` decides, with real sockets and the real time."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from kumadp_dns.figures import Figures
from kumadp_dns.forwarding.forwarder import Forwarder
from kumadp_dns.forwarding.outcomes import (
    DEFAULTS,
    Close,
    Command,
    Count,
    Deliver,
    Done,
    Forwarded,
    Notice,
    Open,
    Send,
    Settings,
)
from kumadp_dns.forwarding.resolv_conf import ResolvConf, Server
from kumadp_dns.forwarding.socket_client import Channel, connect
from kumadp_dns.loop import Loop, Timer

_TICK_S = 0.02
"""Time-outs are looked at so often at most: thousands of queries need no turn each."""
_WILDCARDS = {"0.0.0.0": socket.AF_INET, "::": socket.AF_INET6}


class Upstreams:
    """`own_addresses` are those that the name server listens on: it never asks itself. `note` takes a kind
    and a line for the log."""

    def __init__(
        self,
        loop: Loop,
        figures: Figures,
        conf: ResolvConf,
        own_addresses: Sequence[tuple[str, int]],
        note: Callable[[str, str], None],
        *,
        settings: Settings = DEFAULTS,
        entropy: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self._loop = loop
        self._figures = figures
        self._own = tuple(own_addresses)
        self._note = note
        self._forwarder = Forwarder(settings, entropy)
        self._channels: dict[int, Channel] = {}
        self._timer: Timer | None = None
        self._timer_at = float("inf")
        self.use(conf)

    def use(self, conf: ResolvConf) -> None:
        """Ask these servers from now on."""
        own = [server for server in conf.servers if self._is_own(server)]
        for server in own:
            self._note("loop", f"name server {server} is this agent itself: it is not asked")
        if own:
            others = tuple(server for server in conf.servers if server not in own)
            problem = "" if others else "this agent is the only name server"
            conf = replace(conf, servers=others, problem=problem)
        self._forwarder.use(conf)

    def submit(self, packet: bytes, tcp: bool, done: Done, client: str | None = None) -> None:
        """`done` is called once with the outcome, within `Settings.total_s`, never before this has returned.
        `client` is its address if it is on another host."""
        now = self._loop.now()
        deliveries = self._run(self._forwarder.submit(now, packet, tcp, done, client))
        if deliveries:
            self._loop.call_at(now, partial(self._deliver, deliveries))
        if self._timer_at > now + self._forwarder.per_try_s:
            self._wind()

    def close(self) -> None:
        """Nobody is told anything any more."""
        if self._timer:
            self._timer.cancel()
        for channel in self._channels.values():
            channel.close()
        self._channels.clear()

    def _hear(self, lane: int, reply: bytes) -> None:
        self._deliver(self._run(self._forwarder.received(self._loop.now(), lane, reply)))

    def _fail(self, lane: int, reason: str) -> None:
        self._deliver(self._run(self._forwarder.failed(self._loop.now(), lane, reason)))

    def _expire(self) -> None:
        self._timer, self._timer_at = None, float("inf")
        self._deliver(self._run(self._forwarder.expire(self._loop.now())))
        self._wind()

    def _wind(self) -> None:
        """Be woken when time alone brings something about."""
        due = self._forwarder.deadline()
        if due is None:
            return
        if self._timer:
            self._timer.cancel()
        self._timer_at = max(due, self._loop.now() + _TICK_S)
        self._timer = self._loop.call_at(self._timer_at, self._expire)

    def _run(self, commands: list[Command]) -> list[Deliver]:
        """Whom to tell what, when everything else is done: they may come with new queries."""
        deliveries = []
        for command in commands:  # which grow when something does not work
            if isinstance(command, Send):
                channel = self._channels.get(command.lane)
                problem = channel.send(command.packet) if channel else None
                if problem:
                    commands += self._forwarder.failed(self._loop.now(), command.lane, problem)
            elif isinstance(command, Deliver):
                deliveries.append(command)
            elif isinstance(command, Count):
                self._figures.upstream_failure(command.reason)
            elif isinstance(command, Open):
                commands += self._open(command)
            elif isinstance(command, Close):
                channel = self._channels.pop(command.lane, None)
                if channel:
                    channel.close()
            elif isinstance(command, Notice):
                self._note(command.kind, command.text)
        return deliveries

    def _open(self, command: Open) -> list[Command]:
        lane, server, tcp = command
        found = connect(self._loop, server, tcp, partial(self._hear, lane), partial(self._fail, lane))
        if isinstance(found, str):
            return self._forwarder.failed(self._loop.now(), lane, found)
        self._channels[lane] = found
        return []

    def _deliver(self, deliveries: list[Deliver]) -> None:
        for to, outcome in deliveries:
            if isinstance(outcome, Forwarded):
                self._figures.upstream_observe(outcome.seconds)
            for done in to:
                done(outcome)

    def _is_own(self, server: Server) -> bool:
        if server in self._own:
            return True
        family = socket.AF_INET6 if ":" in server.host else socket.AF_INET
        return any(
            port == server.port and _WILDCARDS.get(host) == family and _is_local(server.host, family)
            for host, port in self._own
        )


def _is_local(host: str, family: socket.AddressFamily) -> bool:
    """Whether this host has the address: then a socket can be bound to it."""
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        try:
            sock.bind((host, 0))
        except OSError:
            return False
    return True
