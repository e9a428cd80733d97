"""The forwarder with real sockets, against servers that lie, stall, break off and recover."""

from __future__ import annotations

import socket

import pytest

from fake_loop import FakeLoop
from forward_world import SERVFAIL, TXT, Client, query, reply
from kumadp_dns.figures import Figures
from kumadp_dns.forwarding.outcomes import Forwarded, Settings, Unanswered
from kumadp_dns.forwarding.resolv_conf import ResolvConf, Server
from kumadp_dns.forwarding.upstreams_client import Upstreams
from scripted_dns import Asked, Scenario, Stage

BRIEF = Settings(per_try_s=0.2)
"""So that servers which shall be silent cost the test little."""


@pytest.fixture
def stage() -> Stage:
    return Stage()


def answered(client: Client) -> Forwarded:
    assert isinstance(client.outcome, Forwarded), client.outcome
    return client.outcome


def failures(stage: Stage) -> dict[str, int]:
    return dict(stage.figures.snapshot().failures)


def free_port(host: str = "127.0.0.1") -> Server:
    """Where nobody is."""
    with socket.create_server((host, 0)) as sock:
        return Server(*sock.getsockname())


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.53", "::1"])
@pytest.mark.parametrize("tcp", [False, True])
def test_a_query_is_answered_over_the_transport_of_its_client(stage: Stage, host: str, tcp: bool) -> None:
    server = stage.server(host)
    upstreams = stage.upstreams(server.address)
    clients = []

    def scenario() -> Scenario:
        clients.append(stage.ask(upstreams, tcp=tcp))
        yield clients

    stage.play(scenario())
    [asked] = server.asked
    outcome = answered(clients[0])
    assert outcome.reply == reply(asked.packet)
    assert (outcome.server, outcome.tcp, asked.tcp) == (str(server.address), tcp, tcp)
    assert stage.figures.snapshot().upstream_durations.total == 1


def test_queries_come_from_many_ports_that_change(stage: Stage) -> None:
    server = stage.server()
    upstreams = stage.upstreams(server.address)

    def scenario() -> Scenario:
        for part in range(60):
            yield [stage.ask(upstreams, query(f"{part}-{number}.example")) for number in range(50)]

    stage.play(scenario())
    ports = [asked.client[1] for asked in server.asked]
    assert len(ports) == 3_000
    assert len(set(ports)) >= 3_000 // 128
    assert all(ports.count(port) < 128 for port in set(ports))


def test_an_answer_of_64_kib_comes_over_tcp(stage: Stage) -> None:
    server = stage.server()
    tail = bytes(range(256)) * 255

    def script(asked: Asked) -> None:
        asked.answer(tc=not asked.tcp, tail=tail if asked.tcp else b"")

    server.script = script
    upstreams = stage.upstreams(server.address)
    clients = []

    def scenario() -> Scenario:
        clients.append(stage.ask(upstreams, query(qtype=TXT)))
        yield clients

    stage.play(scenario())
    assert answered(clients[0]).reply.endswith(tail)
    assert [asked.tcp for asked in server.asked] == [False, True]


def test_a_large_datagram_is_taken_whole(stage: Stage) -> None:
    server = stage.server()
    server.script = lambda asked: asked.answer(tail=bytes(60_000))
    upstreams = stage.upstreams(server.address)
    clients = []

    def scenario() -> Scenario:
        clients.append(stage.ask(upstreams))
        yield clients

    stage.play(scenario())
    assert len(answered(clients[0]).reply) > 60_000
    assert not answered(clients[0]).tcp


def test_without_tcp_the_truncated_answer_is_passed_on(stage: Stage) -> None:
    server = stage.server()
    server.stop_tcp()
    server.script = lambda asked: asked.answer(tc=True)
    upstreams = stage.upstreams(server.address)
    clients = []

    def scenario() -> Scenario:
        clients.append(stage.ask(upstreams))
        yield clients

    stage.play(scenario())
    assert answered(clients[0]).reply[2] & 2
    assert failures(stage) == {"refused": 1}


def test_forged_replies_are_ignored_and_the_true_one_is_awaited(stage: Stage) -> None:
    server = stage.server()
    upstreams = stage.upstreams(server.address)
    clients: list[Client] = []

    def script(asked: Asked) -> None:
        true = reply(asked.packet, tail=b"forged")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other_port:
            other_port.bind(("127.0.0.1", 0))
            other_port.sendto(true, asked.client)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other_address:
            other_address.bind(("127.0.0.9", server.address.port))
            other_address.sendto(true, asked.client)
        asked.send(bytes((true[0] ^ 1,)) + true[1:])
        asked.send(reply(asked.packet[:12] + query("www.example.org")[12:], tail=b"forged"))
        asked.send(asked.packet)
        asked.send(b"garbage")
        asked.answer(tail=b"true")

    server.script = script

    def scenario() -> Scenario:
        clients.append(stage.ask(upstreams))
        yield clients

    stage.play(scenario())
    assert answered(clients[0]).reply.endswith(b"true")
    assert len(server.asked) == 1
    assert failures(stage) == {"spoofed": 4}


def test_a_server_that_writes_names_small_is_understood(stage: Stage) -> None:
    server = stage.server()
    clients: list[Client] = []

    def script(asked: Asked) -> None:
        packet = asked.packet
        asked.send(reply(packet[:12] + packet[12:-4].lower() + packet[-4:]))

    server.script = script
    upstreams = stage.upstreams(server.address)

    def scenario() -> Scenario:
        for name in ("www.example.com", "other.example.com"):
            clients.append(stage.ask(upstreams, query(name)))
            yield clients

    stage.play(scenario())
    assert all(answered(client) for client in clients)
    assert failures(stage) == {"case": 3}
    assert len(server.asked) == 5


def test_the_next_server_is_asked_when_one_is_silent_gone_or_at_a_loss(stage: Stage) -> None:
    silent, lost, good = stage.server("127.0.0.2"), stage.server("127.0.0.3"), stage.server("127.0.0.4")
    gone = free_port()
    silent.script = lambda asked: None
    lost.script = lambda asked: asked.answer(SERVFAIL)
    upstreams = stage.upstreams(silent.address, gone, lost.address, good.address, settings=BRIEF)
    clients: list[Client] = []

    def scenario() -> Scenario:
        for name in ("a.example", "b.example"):
            clients.append(stage.ask(upstreams, query(name)))
            yield clients

    stage.play(scenario())
    assert {answered(client).server for client in clients} == {str(good.address)}
    assert len(silent.asked) == 1  # not first any more
    assert failures(stage)["refused"] == 1
    assert [note.split()[2] for note in stage.notes] == [str(silent.address), str(gone)]


def test_a_server_that_is_gone_over_tcp(stage: Stage) -> None:
    good = stage.server()
    upstreams = stage.upstreams(free_port(), good.address)
    clients: list[Client] = []

    def scenario() -> Scenario:
        clients.append(stage.ask(upstreams, tcp=True))
        yield clients

    stage.play(scenario())
    assert answered(clients[0]).server == str(good.address)
    assert failures(stage) == {"refused": 1}


def test_nobody_there_is_told_with_reasons(stage: Stage) -> None:
    first, second = free_port(), free_port("127.0.0.2")
    upstreams = stage.upstreams(first, second)
    clients: list[Client] = []

    def scenario() -> Scenario:
        clients.append(stage.ask(upstreams))
        yield clients

    stage.play(scenario())
    assert clients[0].outcome == Unanswered(
        f"no name server answers: {first} over UDP refused, {second} over UDP refused"
    )


def test_no_way_to_a_server_is_a_failure_like_another(stage: Stage) -> None:
    good = stage.server()
    upstreams = stage.upstreams(Server("fe80::1%no-such-if"), good.address)
    clients: list[Client] = []

    def scenario() -> Scenario:
        for tcp in (False, True):
            clients.append(stage.ask(upstreams, query((tcp and "a.example") or "b.example"), tcp=tcp))
            yield clients

    stage.play(scenario())
    assert {answered(client).server for client in clients} == {str(good.address)}
    assert failures(stage) == {"unreachable": 2}


def test_a_connection_that_breaks_in_the_middle_is_made_again(stage: Stage) -> None:
    server = stage.server()
    upstreams = stage.upstreams(server.address)
    clients: list[Client] = []

    def script(asked: Asked) -> None:
        if len(server.asked) == 2:
            asked.cut()
        else:
            asked.answer()

    server.script = script

    def scenario() -> Scenario:
        for name in ("a.example", "b.example"):
            clients.append(stage.ask(upstreams, query(name), tcp=True))
            yield clients

    stage.play(scenario())
    assert all(answered(client).tcp for client in clients)
    assert len({asked.client[1] for asked in server.asked}) == 2
    assert failures(stage) == {}


def test_connections_are_shared_and_replies_may_come_in_any_order(stage: Stage) -> None:
    server = stage.server()
    upstreams = stage.upstreams(server.address)
    clients: list[Client] = []

    def script(asked: Asked) -> None:
        if len(server.asked) == 30:
            for each in reversed(server.asked):
                each.answer(tail=each.packet[12:])

    server.script = script

    def scenario() -> Scenario:
        clients.extend(stage.ask(upstreams, query(f"{number}.example"), tcp=True) for number in range(30))
        yield clients

    stage.play(scenario())
    assert len({asked.client[1] for asked in server.asked}) <= 4
    for client in clients:
        assert answered(client).reply[12:].lower().count(client.packet[12:-4]) == 2


def test_the_same_question_is_asked_once(stage: Stage) -> None:
    server = stage.server()
    upstreams = stage.upstreams(server.address)
    clients: list[Client] = []

    def scenario() -> Scenario:
        clients.extend(stage.ask(upstreams, query("www.EXAMPLE.com", ident=number)) for number in range(20))
        yield clients

    stage.play(scenario())
    assert len(server.asked) == 1
    assert all(answered(client) == answered(clients[0]) for client in clients)


def test_a_server_that_sends_queries_back_is_found_out_at_once(stage: Stage) -> None:
    server = stage.server()
    upstreams = stage.upstreams(server.address)
    clients: list[Client] = []
    back: list[Client] = []

    def script(asked: Asked) -> None:
        looped = stage.ask(upstreams, b"\x55\x55" + asked.packet[2:])
        back.append(looped)
        stage.loop.call_at(stage.loop.now(), lambda: asked.answer(SERVFAIL))

    server.script = script

    def scenario() -> Scenario:
        clients.append(stage.ask(upstreams))
        yield clients

    stage.play(scenario())
    assert answered(clients[0]).reply[3] & 15 == SERVFAIL
    assert len(server.asked) == 1
    assert isinstance(back[0].outcome, Unanswered)
    assert "forwarding loop" in stage.notes[0]


@pytest.mark.parametrize("own", ["127.0.0.1", "0.0.0.0"])
def test_it_never_asks_itself(stage: Stage, own: str) -> None:
    itself, other = stage.server(), stage.server("127.0.0.2")
    upstreams = stage.upstreams(itself.address, other.address, own=[(own, itself.address.port)])
    alone = stage.upstreams(itself.address, own=[(own, itself.address.port)])
    clients: list[Client] = []

    def scenario() -> Scenario:
        clients.extend([stage.ask(upstreams), stage.ask(alone)])
        yield clients

    stage.play(scenario())
    assert itself.asked == []
    assert answered(clients[0]).server == str(other.address)
    assert clients[1].outcome == Unanswered("this agent is the only name server")
    assert f"name server {itself.address} is this agent itself: it is not asked" in stage.notes


def test_a_port_of_another_host_is_not_ones_own(stage: Stage) -> None:
    upstreams = stage.upstreams(Server("192.0.2.1", 15_053), own=[("0.0.0.0", 15_053), ("::", 15_053)])
    upstreams.close()
    assert stage.notes == []


def test_the_clock_is_wound_for_a_query_that_comes_when_only_idle_sockets_are_due() -> None:
    loop, outcomes = FakeLoop(), list[object]()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(30)
        conf = ResolvConf((Server(*server.getsockname()),))
        upstreams = Upstreams(loop, Figures(), conf, [], lambda kind, line: None)
        upstreams.submit(query(), False, outcomes.append)
        packet, client = server.recvfrom(512)
        server.sendto(reply(packet), client)
        [(on_readable, _)] = loop.watched.values()
        assert on_readable
        on_readable()
        assert len(outcomes) == 1
        loop.advance(2.5)
        upstreams.submit(query("a.example"), False, outcomes.append)
        server.recvfrom(512)
        loop.advance(2.1)
        assert server.recvfrom(512)
        upstreams.close()
    assert loop.watched == {}
    assert not [timer for timer in loop.timers if timer.action]
