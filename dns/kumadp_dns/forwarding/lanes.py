"""Which sockets there are to which servers, how long each is used, and when it is closed."""

from __future__ import annotations

from kumadp_dns.forwarding.dice import Dice
from kumadp_dns.forwarding.outcomes import Close, Command, Open
from kumadp_dns.forwarding.state import Lane, Peer, Try

MAX_LANES = 192
"""Sockets in all: what eight servers can have in use, and as many that wait for late replies."""

_PORT_LIFE_S = 5.0
_PORT_QUERIES = 64
"""A port takes so many queries, or up to twice as many: nobody shall know how long it is of use. At few
queries a second each has a port of its own; at many they share the cost of one."""
_CONNECTION_IDLE_S = 5.0
_CONNECTION_QUERIES = 1_000


class Lanes:
    """Commands go to the list that each call is given."""

    def __init__(self, dice: Dice) -> None:
        self.deadline: float | None = None
        """When to call `expire`; None while there is no socket."""
        self._dice = dice
        self._lanes: dict[int, Lane] = {}
        self._opened = 0

    def __len__(self) -> int:
        return len(self._lanes)

    def get(self, number: int) -> Lane | None:
        return self._lanes.get(number)

    def pick(self, now: float, peer: Peer, out: list[Command]) -> Lane:
        """A socket for one more query to this server; which one cannot be foretold."""
        slot, fresh = peer.slot(now, self._dice)
        lane = peer.lanes[slot]
        if fresh or lane is None:
            if lane:
                self.retire(lane, out)
            lane = peer.lanes[slot] = self._open(now, peer, out)
        elif peer.tcp:
            lane.until = now + _CONNECTION_IDLE_S
        return lane

    def retire(self, lane: Lane, out: list[Command]) -> None:
        """No more queries; those that wait may still be answered."""
        if not lane.retired:
            lane.retired = True
            lane.peer.lanes[lane.peer.lanes.index(lane)] = None
        if not lane.waiting:
            self._close(lane, out)

    def lost(self, lane: Lane, out: list[Command]) -> list[Try]:
        """The socket is of no use any more; returns the tries that waited on it."""
        tries = [attempt for attempt in lane.tries.values() if attempt]
        self.retire(lane, out)
        self._close(lane, out)
        return tries

    def over(self, attempt: Try, out: list[Command]) -> None:
        """Nothing is expected any more in reply to this."""
        lane = attempt.lane
        lane.tries[attempt.ident] = None
        lane.waiting -= 1
        if lane.retired and not lane.waiting:
            self._close(lane, out)

    def expire(self, now: float, out: list[Command]) -> None:
        if self.deadline is None or now < self.deadline:
            return
        for lane in list(self._lanes.values()):
            if now >= lane.until and not lane.retired:
                self.retire(lane, out)
        self.deadline = min((lane.until for lane in self._lanes.values() if not lane.retired), default=None)

    def _open(self, now: float, peer: Peer, out: list[Command]) -> Lane:
        if len(self._lanes) >= MAX_LANES:
            lanes = self._lanes.values()
            self.lost(next((lane for lane in lanes if lane.retired), next(iter(lanes))), out)
        if peer.tcp:
            left, until = _CONNECTION_QUERIES, now + _CONNECTION_IDLE_S
        else:
            left, until = _PORT_QUERIES + self._dice.below(_PORT_QUERIES), now + _PORT_LIFE_S
        self._opened += 1
        lane = self._lanes[self._opened] = Lane(self._opened, peer, left, until)
        self.deadline = until if self.deadline is None else min(self.deadline, until)
        out.append(Open(lane.number, peer.server, peer.tcp))
        return lane

    def _close(self, lane: Lane, out: list[Command]) -> None:
        if self._lanes.pop(lane.number, None):
            out.append(Close(lane.number))
