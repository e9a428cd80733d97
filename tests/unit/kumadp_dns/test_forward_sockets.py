"""Which sockets the forwarder uses, for how long, and how many."""

from __future__ import annotations

from forward_world import (
    TXT,
    World,
    query,
    taken,
)
from kumadp_dns.forwarding.outcomes import Forwarded, Settings


class TestConnections:
    def test_are_shared_and_closed_when_idle(self) -> None:
        world = World([1])
        clients = [world.ask(query(f"{number}.example", TXT), tcp=True) for number in range(8)]
        sent = world.take()
        assert len({each.lane for each in sent}) == 1
        for each in reversed(sent):
            world.answer(each)
        assert all(client.outcome for client in clients)
        assert len(world.lanes) == 1
        world.wait(5)
        assert not world.lanes

    def test_stay_as_long_as_they_are_of_use(self) -> None:
        world = World([1])
        for name in ("a.example", "b.example"):
            world.ask(query(name), tcp=True)
            world.answer(taken(world))
            world.wait(4)
        assert len(world.opened) == len(world.lanes) == 1
        world.wait(1)
        assert not world.lanes

    def test_there_are_more_when_they_are_busy_but_not_many(self) -> None:
        world = World([1])
        for number in range(400):
            world.ask(query(f"{number}.example"), tcp=True)
        assert len({each.lane for each in world.take()}) == 4

    def test_a_server_may_close_one_that_it_has_answered_on(self) -> None:
        world = World([1, 2])
        world.ask(tcp=True)
        first = taken(world)
        world.answer(first)
        client = world.ask(query("a.example"), tcp=True)
        second = taken(world)
        assert second.lane == first.lane
        world.fail(second.lane, "closed")
        third = taken(world)
        assert third.server == first.server
        assert third.lane != first.lane
        world.answer(third)
        assert isinstance(client.outcome, Forwarded)
        assert world.counted == []
        assert world.notices == []

    def test_but_not_one_after_the_other(self) -> None:
        world = World([1, 2])
        for number in range(9):
            world.ask(query(f"{number}.example"), tcp=True)
        for sent in world.take():
            world.answer(sent)
        assert len(world.lanes) == 2
        world.ask(tcp=True)
        world.fail(taken(world).lane, "closed")
        world.fail(taken(world).lane, "closed")
        assert world.servers() == [2]
        assert world.counted == ["closed"]

    def test_but_not_one_that_it_never_answered_on(self) -> None:
        world = World([1, 2])
        world.ask(tcp=True)
        world.fail(taken(world).lane, "closed")
        assert world.servers() == [2]
        assert world.counted == ["closed"]

    def test_a_silent_one_takes_no_more_queries(self) -> None:
        world = World([1])
        world.ask(tcp=True)
        first = taken(world)
        world.wait(2)
        assert taken(world).lane != first.lane

    def test_the_failure_of_one_transport_says_nothing_about_the_other(self) -> None:
        world = World([1, 2])
        world.ask(tcp=True)
        world.fail(taken(world).lane, "refused")
        world.take()
        world.ask(query("a.example"))
        assert world.servers() == [1]


class TestSockets:
    def test_a_port_is_left_after_some_time_or_some_queries(self) -> None:
        world = World([1])
        world.ask()
        first = taken(world)
        world.answer(first)
        world.wait(5)
        assert first.lane not in world.lanes
        uses: dict[int, int] = {}
        for number in range(3_000):
            world.ask(query(f"{number}.example"))
            sent = taken(world)
            uses[sent.lane] = uses.get(sent.lane, 0) + 1
            world.answer(sent)
        assert max(uses.values()) < 128
        assert len(world.lanes) <= 8
        assert len(set(list(uses.values())[:16])) > 8

    def test_there_is_a_bound_and_nothing_stays(self) -> None:
        world = World([1, 2], Settings(waiting=100_000))
        world.ask(tcp=True)
        connection = taken(world).lane
        for number in range(20_000):
            world.ask(query(f"{number}.example"))
        assert len(world.lanes) == 192
        assert connection in world.lanes
        world.take()
        world.wait(20)
        assert not world.lanes
        assert world.forwarder.idle
