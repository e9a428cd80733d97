"""The forwarder among clients, servers, forgers and failures that do anything in any order."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from forward_world import NXDOMAIN, OPT, REFUSED, SERVFAIL, TXT, Client, Sent, World, query, reply
from kumadp_dns.forwarding.lanes import MAX_LANES
from kumadp_dns.forwarding.outcomes import Forwarded, Settings

WAITING = 12
PACKETS = [
    query(name, qtype, opt=opt)
    for name in ("www.example.com", "WWW.example.com", "a.b", "a-longer-name.of-a-host.example.org")
    for qtype in (1, TXT)
    for opt in (b"", OPT)
]


class Forwarding(RuleBasedStateMachine):
    """`genuine` has every reply that a server sent, and for which query; forged ones are not in it."""

    @initialize(seed=st.integers(0, 2**32), per_client=st.integers(1, WAITING))
    def begin(self, seed: int, per_client: int) -> None:
        bounds = Settings(waiting=WAITING, waiting_per_client=per_client)
        self.world = World([1, 2], bounds, seed)
        self.clients: list[Client] = []
        self.genuine: dict[bytes, list[Sent]] = {}

    @rule(packet=st.sampled_from(PACKETS), tcp=st.booleans(), client=st.sampled_from([None, "x", "y"]))
    def ask(self, packet: bytes, tcp: bool, client: str | None) -> None:
        self.clients.append(self.world.ask(packet, tcp=tcp, client=client))

    @precondition(lambda self: self.world.sent)
    @rule(
        data=st.data(),
        rcode=st.sampled_from([0, 0, NXDOMAIN, SERVFAIL, REFUSED]),
        tc=st.booleans(),
        kept=st.booleans(),
        bare=st.booleans(),
    )
    def answer(self, data: st.DataObject, rcode: int, tc: bool, kept: bool, bare: bool) -> None:
        """A server replies: perhaps late, again, cut, with other letters, or without the question."""
        sent = data.draw(st.sampled_from(self.world.sent))
        packet = sent.packet if kept else sent.packet.replace(sent.question, lower(sent.question))
        said = reply(packet, rcode, tc=tc, tail=len(self.genuine).to_bytes(4, "big"))
        if bare and rcode in (SERVFAIL, REFUSED):
            said = said[:4] + bytes(8)
        self.genuine.setdefault(said, []).append(sent)
        self.world.hear(sent.lane, said)

    @precondition(lambda self: self.world.sent and len(self.world.lanes))
    @rule(data=st.data(), how=st.integers(0, 5), flip=st.integers(1, 65_535))
    def forge(self, data: st.DataObject, how: int, flip: int) -> None:
        """Somebody else replies, to a lane of his choice: he has not seen the query, or not all of it."""
        sent = data.draw(st.sampled_from(self.world.sent))
        lane = data.draw(st.sampled_from(sorted(self.world.lanes)))
        true = reply(sent.packet, tail=b"forged")
        other_id = (int.from_bytes(true[:2], "big") ^ flip).to_bytes(2, "big") + true[2:]
        lies = [
            other_id,
            reply(true[:2] + query("www.example.net")[2:], tail=b"forged"),
            reply(true[:2] + query("www.example.com", 5)[2:], tail=b"forged"),
            sent.packet,
            true[: 12 + flip % len(sent.question)],
            true,
        ]
        if how < 5 or lane != sent.lane:
            self.world.hear(lane, lies[how])

    @precondition(lambda self: len(self.world.lanes))
    @rule(data=st.data(), reason=st.sampled_from(["refused", "closed"]))
    def fail(self, data: st.DataObject, reason: str) -> None:
        self.world.fail(data.draw(st.sampled_from(sorted(self.world.lanes))), reason)

    @rule(seconds=st.sampled_from([0.001, 0.5, 1.0, 2.0, 5.0, 11.0, 700.0]))
    def wait(self, seconds: float) -> None:
        self.world.wait(seconds)

    @rule(
        servers=st.lists(st.integers(1, 4), max_size=3, unique=True),
        timeout_s=st.sampled_from([None, 1.0, 30.0]),
        rotate=st.booleans(),
    )
    def reload(self, servers: list[int], timeout_s: float | None, rotate: bool) -> None:
        self.world.use(*servers, timeout_s=timeout_s, rotate=rotate)

    @invariant()
    def outcomes_come_once_and_in_time(self) -> None:
        for client in self.clients:
            assert len(client.outcomes) <= 1
            if self.world.now >= client.asked_at + self.world.settings.total_s:
                assert client.outcomes

    @invariant()
    def only_genuine_replies_are_believed(self) -> None:
        for client in self.clients:
            for outcome in client.outcomes:
                if isinstance(outcome, Forwarded):
                    assert any(
                        plain(sent.packet) == plain(client.packet)
                        and (outcome.server, outcome.tcp) == (str(sent.server), sent.tcp)
                        and sent.tcp >= client.tcp
                        for sent in self.genuine[outcome.reply]
                    )

    @invariant()
    def everything_is_bounded(self) -> None:
        waiting = sum(not client.outcomes for client in self.clients)
        assert self.world.forwarder.waiting == waiting <= WAITING
        assert len(self.world.lanes) <= MAX_LANES

    def teardown(self) -> None:
        self.world.wait(30)
        assert all(client.outcomes for client in self.clients)
        assert self.world.lanes == {}
        assert self.world.forwarder.idle
        assert self.world.forwarder.deadline() is None


def lower(question: bytes) -> bytes:
    return question[:-4].lower() + question[-4:]


def plain(packet: bytes) -> bytes:
    """What must be the same in a query and in what is sent for it."""
    end = packet.index(b"\0", 12)
    return packet[2:12] + packet[12:end].lower() + packet[end:]


TestForwarding = Forwarding.TestCase
TestForwarding.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
