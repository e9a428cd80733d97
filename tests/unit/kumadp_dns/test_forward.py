"""Whom the forwarder asks, how long it waits, and what it passes on."""

from __future__ import annotations

from random import Random

import pytest

from forward_world import (
    FORMERR,
    NOTIMP,
    NXDOMAIN,
    OPT,
    REFUSED,
    SERVFAIL,
    World,
    query,
    reply,
    taken,
    why,
)
from kumadp_dns.forwarding.outcomes import Forwarded, Settings


class TestOneQuery:
    def test_is_passed_on_as_it_is_but_for_its_id_and_the_case_of_its_letters(self) -> None:
        world = World()
        packet = query("www.example.com", opt=OPT)
        client = world.ask(packet)
        sent = taken(world)
        assert sent.packet[2:12] == packet[2:12]
        assert sent.packet.lower() == (sent.packet[:2] + packet[2:]).lower()
        assert sent.packet.endswith(OPT)
        assert sent.question != sent.question.lower()
        world.answer(sent, tail=b"records")
        outcome = client.outcome
        assert isinstance(outcome, Forwarded)
        assert outcome.reply == reply(sent.packet, tail=b"records")
        assert (outcome.server, outcome.tcp) == ("10.0.0.1:53", False)

    def test_ids_letters_and_ports_differ_from_query_to_query(self) -> None:
        world = World([1])
        for number in range(200):
            world.ask(query(f"name-{number}.example.com"))
        sent = world.take()
        assert len({each.packet[:2] for each in sent}) > 190
        assert len({each.lane for each in sent}) >= 8
        assert len({each.question[-16:] for each in sent}) > 150

    def test_no_id_is_used_twice_on_a_socket(self) -> None:
        world = World([1], Settings(waiting=10_000))
        few = Random(1)
        world.forwarder._dice._source = lambda size: bytes(few.choices(range(16), k=size))
        for number in range(2_000):
            world.ask(query(f"{number}.example"))
        sent = [(each.lane, each.packet[:2]) for each in world.take()]
        assert len(set(sent)) == len(sent)

    def test_the_time_it_took_is_told(self) -> None:
        world = World()
        client = world.ask()
        world.wait(0.25)
        world.answer(taken(world))
        assert isinstance(client.outcome, Forwarded)
        assert client.outcome.seconds == 0.25

    @pytest.mark.parametrize("rcode", [0, NXDOMAIN, 6, 9])
    def test_what_a_server_knows_is_the_answer(self, rcode: int) -> None:
        world = World()
        client = world.ask()
        world.answer(taken(world), rcode)
        assert isinstance(client.outcome, Forwarded)
        assert not world.sent

    @pytest.mark.parametrize(
        "packet", [b"", query()[:14], reply(query()), query()[:4] + b"\0\2" + query()[6:]]
    )
    def test_what_is_no_query_is_not_forwarded(self, packet: bytes) -> None:
        world = World()
        assert why(world.ask(packet))
        assert not world.sent

    def test_a_query_of_absurd_size_is_not_forwarded(self) -> None:
        world = World()
        assert "4096 bytes" in why(world.ask(query(opt=OPT) + bytes(4_096)))
        assert world.counted == ["too long"]

    def test_a_label_with_zero_bytes_is_a_label(self) -> None:
        world = World()
        packet = query("www.example.com").replace(b"www", b"\0\0\0")
        client = world.ask(packet)
        sent = taken(world)
        world.hear(sent.lane, sent.packet[:2] + b"\x81\x80" + sent.packet[4:])
        assert isinstance(client.outcome, Forwarded)


class TestServers:
    def test_the_next_is_asked_when_one_is_silent(self) -> None:
        world = World([1, 2, 3])
        client = world.ask()
        world.wait(1.99)
        assert world.servers() == [1]
        world.wait(0.02)
        [second] = world.take()
        assert second.server.host == "10.0.0.2"
        world.answer(second)
        assert isinstance(client.outcome, Forwarded)
        assert world.counted == ["timeout"]

    def test_the_late_answer_of_a_slow_server_is_still_an_answer(self) -> None:
        world = World([1, 2])
        client = world.ask()
        world.wait(2.5)
        first, _second = world.take()
        world.answer(first)
        assert isinstance(client.outcome, Forwarded)
        assert client.outcome.server == "10.0.0.1:53"

    def test_a_refusal_by_the_network_costs_no_time(self) -> None:
        world = World([1, 2])
        world.ask()
        world.fail(taken(world).lane, "refused")
        assert world.servers() == [2]
        assert world.counted == ["refused"]

    @pytest.mark.parametrize("rcode", [SERVFAIL, REFUSED, NOTIMP, FORMERR])
    def test_another_may_know_better(self, rcode: int) -> None:
        world = World([1, 2])
        client = world.ask()
        world.answer(taken(world), rcode)
        world.answer(taken(world), NXDOMAIN)
        assert isinstance(client.outcome, Forwarded)
        assert client.outcome.reply[3] & 15 == NXDOMAIN

    def test_the_last_error_is_passed_on_when_nobody_knows_better(self) -> None:
        world = World([1, 2, 3])
        client = world.ask()
        world.answer(taken(world), SERVFAIL)
        world.answer(taken(world), REFUSED)
        assert not client.outcomes
        world.wait(2)
        assert isinstance(client.outcome, Forwarded)
        assert client.outcome.reply[3] & 15 == REFUSED
        assert client.outcome.server == "10.0.0.2:53"

    def test_an_error_may_repeat_no_question(self) -> None:
        world = World([1])
        client = world.ask(query(opt=OPT))
        sent = taken(world)
        bare = sent.packet[:2] + b"\x81\x81" + bytes(8)
        world.hear(sent.lane, bare)
        assert isinstance(client.outcome, Forwarded)
        assert client.outcome.reply == bare

    def test_silent_servers_are_asked_once_more_and_the_total_time_is_kept(self) -> None:
        world = World([1])
        client = world.ask()
        world.wait(4.99)
        assert world.servers() == [1, 1]
        assert not client.outcomes
        world.wait(0.01)
        assert why(client) == "no name server answers: 10.0.0.1:53 over UDP timeout"

    def test_all_refused_is_told_at_once(self) -> None:
        world = World([1, 2])
        client = world.ask()
        world.fail(taken(world).lane, "refused")
        world.fail(taken(world).lane, "unreachable")
        assert why(client) == (
            "no name server answers: 10.0.0.1:53 over UDP refused, 10.0.0.2:53 over UDP unreachable"
        )

    def test_an_error_late_from_one_server_leaves_the_other_its_time(self) -> None:
        world = World([1, 2])
        client = world.ask()
        world.wait(2.5)
        first, second = world.take()
        world.answer(first, SERVFAIL)
        assert not client.outcomes
        assert not world.sent
        world.answer(second)
        assert isinstance(client.outcome, Forwarded)
        assert client.outcome.server == "10.0.0.2:53"

    def test_no_servers_is_told_at_once_and_heals(self) -> None:
        world = World([])
        world.use(problem="/etc/resolv.conf names no name server")
        assert why(world.ask()) == "/etc/resolv.conf names no name server"
        world.use(4)
        client = world.ask()
        world.answer(taken(world))
        assert isinstance(client.outcome, Forwarded)

    def test_a_try_takes_no_longer_than_all_may(self) -> None:
        world = World([])
        world.use(1, timeout_s=30.0)
        assert world.forwarder.per_try_s == 5

    def test_options_of_resolv_conf(self) -> None:
        world = World([])
        world.use(1, 2, timeout_s=1.0, attempts=1, rotate=True)
        world.ask()
        world.wait(1)
        assert world.servers() == [2, 1]
        world.wait(10)
        world.take()
        world.use(1, 2, rotate=True)
        world.ask(query("a.example"))
        assert world.servers() == [1]
        world.use(1, use_vc=True)
        world.ask(query("b.example"))
        assert taken(world).tcp


class TestHealth:
    def failed(self) -> World:
        """Server 1 has not answered, server 2 has."""
        world = World([1, 2])
        world.ask()
        world.wait(2)
        world.answer(world.take()[1])
        return world

    def test_who_failed_is_asked_last(self) -> None:
        world = self.failed()
        for number in range(5):
            world.ask(query(f"{number}.example"))
            assert world.servers() == [2]
        assert world.notices == ["name server 10.0.0.1:53 over UDP fails (timeout): others are asked first"]

    def test_and_is_asked_still_when_the_other_fails(self) -> None:
        world = self.failed()
        client = world.ask()
        world.fail(taken(world).lane, "refused")
        world.answer(taken(world))
        assert isinstance(client.outcome, Forwarded)
        assert client.outcome.server == "10.0.0.1:53"

    def test_after_ten_seconds_one_copy_of_a_query_finds_out(self) -> None:
        world = self.failed()
        world.wait(10)
        first, second = world.ask(query("a.example")), world.ask(query("b.example"))
        probe, one, two = world.take()
        assert [each.server.host for each in (probe, one, two)] == ["10.0.0.1", "10.0.0.2", "10.0.0.2"]
        world.answer(one)
        world.answer(two)
        assert first.outcome
        assert second.outcome
        world.answer(probe)
        assert world.notices[-1] == "name server 10.0.0.1:53 over UDP answers again"
        world.ask(query("c.example"))
        assert world.servers() == [1]

    def test_a_probe_without_an_answer_costs_nobody_anything(self) -> None:
        world = self.failed()
        world.wait(10)
        client = world.ask()
        _probe, asked = world.take()
        world.answer(asked)
        assert client.outcome
        world.wait(2)
        assert not world.sent
        world.ask(query("a.example"))
        asked = taken(world)
        assert asked.server.host == "10.0.0.2"
        world.answer(asked)
        world.wait(10)
        world.ask(query("b.example"))
        assert world.servers() == [1, 2]

    def test_a_question_without_an_answer_is_no_failure_of_a_server_that_answers_others(self) -> None:
        world = World([1, 2])
        world.ask(query("broken.example"))
        world.take()
        world.wait(1)
        world.ask(query("fine.example"))
        world.answer(taken(world))
        world.wait(1)
        world.take()
        world.ask(query("next.example"))
        assert world.servers() == [1]
        assert world.notices == []

    def test_errors_are_no_failure(self) -> None:
        world = World([1, 2])
        world.ask()
        world.answer(taken(world), SERVFAIL)
        world.take()
        world.ask(query("a.example"))
        assert world.servers() == [1]

    def test_what_is_known_survives_a_new_resolv_conf(self) -> None:
        world = self.failed()
        world.use(1, 3)
        world.ask()
        assert world.servers() == [3]

    def test_nothing_is_told_about_a_server_that_is_named_no_more(self) -> None:
        world = World([1])
        world.ask()
        world.use(2)
        world.wait(2)
        assert world.counted == ["timeout"]
        assert world.notices == []
        world.take()
        world.ask(query("a.example"))
        world.answer(taken(world))
        world.use(2, 1)
        world.ask(query("b.example"))
        assert world.servers() == [2]

    def test_late_answers_bring_a_server_back(self) -> None:
        world = World([1])
        world.ask()
        world.wait(2.5)
        world.answer(world.take()[0])
        assert [notice.split()[-2:] for notice in world.notices] == [["asked", "first"], ["answers", "again"]]


class TestTruncation:
    def test_the_whole_answer_is_fetched_over_tcp_from_the_same_server(self) -> None:
        world = World([1, 2])
        client = world.ask()
        world.answer(taken(world), tc=True)
        sent = taken(world)
        assert (sent.tcp, sent.server.host) == (True, "10.0.0.1")
        world.answer(sent, tail=b"all of it")
        assert isinstance(client.outcome, Forwarded)
        assert client.outcome.tcp
        assert client.outcome.reply.endswith(b"all of it")

    def test_what_there_is_is_passed_on_when_nobody_speaks_tcp(self) -> None:
        world = World([1, 2])
        client = world.ask()
        world.answer(taken(world), tc=True)
        world.fail(taken(world).lane, "refused")
        world.answer(taken(world), SERVFAIL)
        assert isinstance(client.outcome, Forwarded)
        assert client.outcome.reply[2] & 2
        assert client.outcome.server == "10.0.0.1:53"
        again = world.ask()
        world.answer(taken(world), tc=True)
        assert isinstance(again.outcome, Forwarded)
        assert again.outcome.reply[2] & 2

    def test_a_client_that_came_over_tcp_is_served_over_tcp(self) -> None:
        world = World([1])
        world.ask(tcp=True)
        assert taken(world).tcp

    def test_a_truncated_answer_over_tcp_is_an_answer(self) -> None:
        world = World([1])
        client = world.ask(tcp=True)
        world.answer(taken(world), tc=True)
        assert isinstance(client.outcome, Forwarded)
