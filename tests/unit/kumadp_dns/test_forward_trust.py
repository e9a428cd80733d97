"""What the forwarder believes, and what it does about forged replies, loops and floods."""

from __future__ import annotations

from forward_world import (
    HTTPS,
    NXDOMAIN,
    OPT,
    SERVFAIL,
    TXT,
    World,
    query,
    reply,
    taken,
    why,
)
from kumadp_dns.forwarding.outcomes import Forwarded, Settings


class TestSpoofing:
    def test_replies_that_answer_something_else_are_counted_and_the_true_one_awaited(self) -> None:
        world = World()
        client = world.ask()
        sent = taken(world)
        genuine = reply(sent.packet)
        other_id = bytes((genuine[0] ^ 1,)) + genuine[1:]
        other_name = reply(sent.packet[:12] + query("www.example.org")[12:])
        other_type = genuine[:-3] + b"\x10" + genuine[-2:]
        for data in (b"", b"x", genuine[:11], other_id, other_name, other_type, sent.packet, genuine[:-1]):
            world.hear(sent.lane, data)
        assert not client.outcomes
        assert world.counted == ["spoofed"] * 8
        world.hear(sent.lane, genuine)
        assert isinstance(client.outcome, Forwarded)

    def test_a_type_is_not_compared_like_letters(self) -> None:
        world = World()
        client = world.ask(query(qtype=HTTPS))
        sent = taken(world)
        assert sent.packet[-4:] == b"\0\x41\0\1"
        world.hear(sent.lane, reply(sent.packet[:-3] + b"\x61\0\1"))
        assert not client.outcomes
        world.ask(query(qtype=0x61))
        assert len(world.take()) == 1

    def test_a_reply_on_another_lane_is_none(self) -> None:
        world = World()
        client = world.ask()
        first = taken(world)
        for number in range(50):
            world.ask(query(f"{number}.example"))
        for lane in {sent.lane for sent in world.take()} - {first.lane}:
            world.hear(lane, reply(first.packet))
        assert world.counted == ["spoofed"] * 7
        assert not client.outcomes

    def test_a_connection_that_says_much_that_nobody_asked_is_given_up(self) -> None:
        world = World()
        client = world.ask(tcp=True)
        sent = taken(world)
        for _ in range(8):
            assert sent.lane in world.lanes
            world.hear(sent.lane, b"")
        assert sent.lane not in world.lanes
        assert world.counted == ["spoofed"] * 9
        world.hear(sent.lane, b"")
        assert len(world.counted) == 9
        other = taken(world)
        assert other.server != sent.server
        world.answer(other)
        assert isinstance(client.outcome, Forwarded)

    def test_second_and_late_replies_are_ignored_and_no_spoofs(self) -> None:
        world = World()
        client = world.ask()
        sent = taken(world)
        world.answer(sent)
        world.answer(sent, NXDOMAIN)
        assert isinstance(client.outcome, Forwarded)
        assert world.counted == []

    def test_a_port_that_somebody_has_found_takes_no_more_queries(self) -> None:
        world = World([1])
        for number in range(64):
            world.ask(query(f"{number}.example"))
        lane = world.take()[0].lane
        for _ in range(8):
            world.hear(lane, b"\0" * 20)
        for number in range(64, 200):
            world.ask(query(f"{number}.example"))
        assert lane not in {each.lane for each in world.take()}

    def test_other_letters_are_ignored_and_asked_for_again(self) -> None:
        world = World([1])
        client = world.ask()
        first = taken(world)
        world.hear(first.lane, reply(swap_question(first.packet)))
        assert not client.outcomes
        second = taken(world)
        assert second.packet[:2] != first.packet[:2]
        assert second.question != first.question
        world.answer(first)
        assert isinstance(client.outcome, Forwarded)
        assert world.counted == ["case"]

    def test_a_server_that_keeps_no_letters_is_believed_after_three_times(self) -> None:
        world = World([1])
        client = world.ask(query("Www.example.com"))
        for _ in range(3):
            sent = taken(world)
            world.hear(sent.lane, reply(small(sent.packet)))
            assert not client.outcomes
        plain = taken(world)
        assert plain.question == query("Www.example.com")[12:]
        world.hear(plain.lane, reply(small(plain.packet)))
        assert isinstance(client.outcome, Forwarded)
        world.ask(query("other.example"))
        assert taken(world).question == query("other.example")[12:]
        world.wait(700)
        world.take()
        world.ask(query("later.example"))
        assert taken(world).question != query("later.example")[12:]

    def test_a_server_that_keeps_letters_stays_trusted(self) -> None:
        world = World([1])
        for number in range(8):
            world.ask(query(f"name{number}.example"))
            sent = taken(world)
            world.hear(sent.lane, reply(swap_question(sent.packet)))
            world.answer(taken(world))
        assert world.counted == ["case"] * 8
        world.ask(query("last.example"))
        assert taken(world).question != query("last.example")[12:]


class TestLoops:
    def test_a_query_that_comes_back_is_refused_and_told(self) -> None:
        world = World([1])
        client = world.ask()
        sent = taken(world)
        back = world.ask(b"\x12\x34" + sent.packet[2:] + OPT)
        assert "queries to 10.0.0.1:53 over UDP come back" in why(back)
        assert not world.sent
        assert world.counted == ["loop"]
        assert "forwarding loop" in world.notices[0]
        world.answer(sent, SERVFAIL)
        assert isinstance(client.outcome, Forwarded)

    def test_the_same_name_by_somebody_else_is_none(self) -> None:
        world = World([1])
        world.ask(query("www.example.com"))
        world.ask(query("www.example.com", opt=OPT))
        world.ask(query("WWW.EXAMPLE.COM", TXT))
        assert len(world.take()) == 3

    def test_a_short_name_is_never_taken_for_one(self) -> None:
        world = World([1])
        world.ask(query("a.b"))
        sent = taken(world)
        assert not world.ask(b"\1\1" + sent.packet[2:] + OPT).outcomes

    def test_what_is_over_is_forgotten(self) -> None:
        world = World([1])
        world.ask()
        sent = taken(world)
        world.answer(sent)
        assert not world.ask(sent.packet).outcomes


class TestTogether:
    def test_the_same_question_is_asked_once_for_all(self) -> None:
        world = World()
        clients = [
            world.ask(query(name, ident=ident)) for ident, name in enumerate(["a.example", "A.eXample"])
        ]
        world.answer(taken(world), tail=b"x")
        assert all(client.outcome.reply.endswith(b"x") for client in clients)  # type: ignore[union-attr]

    def test_but_not_when_anything_else_about_it_differs(self) -> None:
        world = World()
        plain = query("a.example")
        for packet in (plain, plain[:2] + b"\0" + plain[3:], plain[:3] + b"\x10" + plain[4:]):
            world.ask(packet)
        world.ask(query("a.example", opt=OPT))
        world.ask(query("a.example", opt=OPT[:7] + b"\x80" + OPT[8:]))
        world.ask(query("a.example", TXT))
        world.ask(plain, tcp=True)
        assert len(world.take()) == 7

    def test_one_who_comes_late_shares_the_outcome(self) -> None:
        world = World([1])
        first = world.ask()
        world.wait(4.5)
        second = world.ask()
        world.wait(0.5)
        assert why(first) == why(second)

    def test_there_is_a_bound(self) -> None:
        world = World(settings=Settings(waiting=10))
        clients = [world.ask(query(f"{number % 3}.example")) for number in range(12)]
        assert [why(client) for client in clients[10:]] == ["too many queries wait for name servers"] * 2
        assert world.counted == ["overload"] * 2
        assert world.forwarder.waiting == 10
        for sent in world.take():
            world.answer(sent)
        assert world.forwarder.waiting == 0
        assert not world.ask().outcomes

    def test_one_host_cannot_take_it_all(self) -> None:
        world = World(settings=Settings(waiting=10, waiting_per_client=2))
        greedy = [world.ask(query(f"{number}.example"), client="10.9.9.9") for number in range(3)]
        assert [len(client.outcomes) for client in greedy] == [0, 0, 1]
        assert not world.ask(query("a.example"), client="10.9.9.8").outcomes
        assert not world.ask(query("b.example")).outcomes
        for sent in world.take():
            world.answer(sent)
        assert not world.ask(client="10.9.9.9").outcomes


def swap_question(packet: bytes) -> bytes:
    """The same with large letters small and small ones large, in the name."""
    return packet[:12] + packet[12:-4].swapcase() + packet[-4:]


def small(packet: bytes) -> bytes:
    return packet[:12] + packet[12:-4].lower() + packet[-4:]
