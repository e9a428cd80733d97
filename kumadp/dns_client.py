"""One question to the name server of a running agent, over UDP and, when the answer is cut, over TCP."""

from __future__ import annotations

import contextlib
import secrets
import socket
import time
from dataclasses import dataclass
from ipaddress import ip_address

from kumadp_dns.answers.explain import Explained, build_question, read_answer
from kumamesh.errors import EXIT_USAGE, UserError
from kumamesh.names import format_address

TIMEOUT_S = 15.0
"""Longer than the name server itself goes on asking others."""
_MAX_BYTES = 65_535


@dataclass(frozen=True, slots=True)
class Lookup:
    """What came back, and how long it took."""

    answer: Explained
    tcp: bool
    seconds: float


def lookup(name: str, qtype: str, address: str, port: int) -> Lookup:
    """Raises UserError."""
    try:
        question = build_question(name, qtype, ident=secrets.randbelow(1 << 16))
    except ValueError as error:
        raise UserError(str(error), exit_code=EXIT_USAGE) from None
    where = format_address(address, port)
    started = time.monotonic()
    try:
        tcp = False
        answer = read_answer(_by_udp(question, address, port))
        if answer.truncated:
            tcp = True
            answer = read_answer(_by_tcp(question, address, port))
    except ConnectionRefusedError:
        raise UserError(
            f"nobody answers DNS on {where}; is kuma-dp running, with --dns-enabled? Its log says when it "
            "took another port: give that with --port"
        ) from None
    except TimeoutError:
        raise UserError(f"{where} gave no answer within {TIMEOUT_S:.0f} s; is it kuma-dp?") from None
    except OSError as error:
        raise UserError(f"{where} cannot be asked: {error.strerror or error}") from None
    except EOFError as error:
        raise UserError(f"{where} cannot be asked: {error}") from None
    except ValueError as error:
        raise UserError(f"{where}: {error}") from None
    return Lookup(answer, tcp, time.monotonic() - started)


def _by_udp(question: bytes, address: str, port: int) -> bytes:
    deadline = time.monotonic() + TIMEOUT_S
    with socket.socket(_family(address), socket.SOCK_DGRAM) as sock:
        sock.connect((address, port))
        sock.send(question)
        while True:
            sock.settimeout(max(0.001, deadline - time.monotonic()))
            reply = sock.recv(_MAX_BYTES)
            # Connected: nobody else's, but a late answer to an earlier owner of this port is possible.
            if reply[:2] == question[:2]:
                return reply


def _by_tcp(question: bytes, address: str, port: int) -> bytes:
    with socket.create_connection((address, port), TIMEOUT_S) as sock:
        sock.sendall(len(question).to_bytes(2, "big") + question)
        with contextlib.closing(sock.makefile("rb")) as answers:
            length = int.from_bytes(answers.read(2), "big")
            reply = answers.read(length)
    if not length or len(reply) < length:
        raise EOFError("it ended the connection")
    return reply


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ip_address(address).version == 6 else socket.AF_INET
