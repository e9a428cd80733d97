"""What upstream servers send, what clients ask, and what stands in resolv.conf."""

from __future__ import annotations

from forward_world import FORMERR, OPT, REFUSED, SERVFAIL, TXT, Sent, World, query, reply
from fuzz import Target
from fuzz_mutate import bytes_mutation
from kumadp_dns.answers import query as client_query
from kumadp_dns.answers import wire
from kumadp_dns.answers.table import EMPTY
from kumadp_dns.forwarding.outcomes import Forwarded, Unanswered
from kumadp_dns.forwarding.resolv_conf import MAX_SERVERS, parse

_ASKED = query("www.example.com", opt=OPT)


def _world() -> tuple[World, Sent]:
    """The same each time, ids and letters included: what is a genuine reply once is one always."""
    world = World([1], seed=2)
    world.ask(_ASKED)
    [sent] = world.take()
    return world, sent


def _seeds() -> tuple[bytes, ...]:
    packet = _world()[1].packet
    records = b"".join(
        b"\xc0\x0c" + rtype.to_bytes(2, "big") + b"\0\1\0\0\0\x1e" + len(data).to_bytes(2, "big") + data
        for rtype, data in (
            (5, b"\3www\7backend\4mesh\0"),
            (1, b"\x7f\0\0\1"),
            (TXT, b"\3abc"),
            (28, bytes(16)),
        )
    )
    full = reply(packet, tail=records + OPT)
    return (
        reply(packet),
        full[:6] + b"\0\4\0\0\0\1" + full[12:],
        reply(packet, tc=True),
        reply(packet, SERVFAIL),
        reply(packet, REFUSED, tc=True),
        reply(packet, FORMERR)[:4] + bytes(8),
        packet,
        reply(packet[:12] + packet[12:-15].swapcase() + packet[-15:]),
    )


def _replies(data: bytes) -> str:
    """Only what repeats id and question, letter by letter, is believed; the true answer is, whatever came
    before; and what is believed can be made the client's answer."""
    world = World([1], seed=2)
    client = world.ask(_ASKED)
    [sent] = world.take()
    world.hear(sent.lane, data)
    genuine = data[:2] == sent.packet[:2] and data[2:3] >= b"\x80"
    if client.outcomes:
        outcome = client.outcome
        assert isinstance(outcome, Forwarded), outcome
        assert genuine, "another id, or no reply"
        bare = outcome.reply[3] & 15 and not any(outcome.reply[4:10])
        assert bare or outcome.reply[12:].startswith(sent.question), "another question"
        answer = client_query.finish(client.packet, outcome.reply, EMPTY, tcp=False)
        assert answer.packet[:2] == client.packet[:2]
        assert len(answer.packet) <= 4_096
        wire.read_reply(answer.packet, _ASKED[12:-11])
        return f"{answer.rcode} {bool(answer.packet[2] & 2)}"
    said = " ".join(world.counted) or "TCP"
    for each in (sent, *world.take()):
        world.answer(each)
    assert isinstance(client.outcome, Forwarded), "the true answer is refused"
    world.wait(30)
    assert world.forwarder.idle, "something is left"
    return said


def _queries(data: bytes) -> str:
    """Whatever it is, it is refused at once or sent in a form that differs by id and letters alone."""
    world = World([1], seed=3)
    client = world.ask(data)
    sent = world.take()
    if client.outcomes:
        assert isinstance(client.outcome, Unanswered)
        assert not sent
        return client.outcome.reason
    [only] = sent
    assert only.packet[2:12] == data[2:12]
    assert only.packet[2:].lower() == data[2:].lower()
    world.hear(only.lane, only.packet[:2] + b"\x81\x80" + only.packet[4:])
    assert client.outcomes
    return f"{len(data) - len(only.question) > 12} {only.question[-4:-2].hex()}"


def _resolv_conf(data: bytes) -> str:
    conf = parse(data.decode("utf-8", "replace"))
    assert len(conf.servers) <= MAX_SERVERS
    assert all(str(server).isprintable() for server in conf.servers)
    assert all("\n" not in complaint and complaint.isprintable() for complaint in conf.complaints)
    assert conf.timeout_s is None or 1 <= conf.timeout_s <= 30
    assert conf.attempts is None or 1 <= conf.attempts <= 5
    return f"{len(conf.servers)} {len(conf.complaints)} {conf.rotate} {conf.use_vc} {conf.timeout_s}"


_DNS = bytes_mutation(b"\xc0\x0c", b"\0\1", b"\0\x29", b"\x81\x80", b"\x81\x82", b"\x81\x81", b"\3www", OPT)
_CONF = b"""# made by hand
nameserver 10.0.0.1
nameserver fe80::1%eth0 # with its interface
search example.com
options ndots:5 timeout:1 attempts:3 rotate use-vc
"""

TARGETS = (
    Target("upstream replies", _seeds(), (_DNS,), _replies, share=2.0),
    Target("forwarded queries", (_ASKED, query("a.b"), query("", TXT), _seeds()[0]), (_DNS,), _queries),
    Target(
        "resolv.conf",
        (_CONF, b"nameserver ::1\n" * 9),
        (bytes_mutation(b"nameserver ", b"options ", b"timeout:", b"%", b"::", b"127.0.0.1"),),
        _resolv_conf,
        share=0.5,
    ),
)
