"""Queries and replies as a forwarder looks at them: id, flags and question, nothing behind them.

Letters are compared in names alone: in the type of a question 0x41 and 0x61 are HTTPS and something else.
"""

from __future__ import annotations

from enum import IntEnum

HEADER = 12
MAX_QUERY = 4_096
"""Bytes of a query that is forwarded: a question with its options takes a tenth, and thousands may wait."""

_ONE = b"\x00\x01"
_TAIL = 4
"""Bytes of a question behind its name: type and class."""
_MAX_QUESTION = 255 + _TAIL
_MAX_LABEL = 63
_BITS = bytes(0x20 if byte < 0x80 and chr(byte).isalpha() else 0 for byte in range(256))
"""The bit that makes a letter large or small. The lengths of labels are below all letters."""


class Verdict(IntEnum):
    """What a message is to the query that it seems to answer."""

    ANSWER = 0
    TRUNCATED = 1
    ERROR = 2
    """The server cannot or will not say; another one might."""
    OTHER_CASE = 3
    """Right, but for large and small letters: made up, or from a server that does not keep them."""
    FOREIGN = 4


_BY_RCODE = tuple(
    Verdict.ERROR if rcode in (1, 2, 4, 5) else Verdict.ANSWER  # FORMERR, SERVFAIL, NOTIMP, REFUSED
    for rcode in range(16)
)


def question_end(packet: bytes) -> int:
    """Where the question ends. ValueError unless this is a query with one question, spelt out."""
    if len(packet) <= HEADER or packet[2] & 0xF8 or packet[4:6] != _ONE:
        raise ValueError("not a query with one question")
    at = HEADER
    try:
        while length := packet[at]:
            if length > _MAX_LABEL:
                raise ValueError("a label of the question is too long")
            at += length + 1
    except IndexError:
        raise ValueError("the question does not end") from None
    end = at + 1 + _TAIL
    if end > len(packet) or end - HEADER > _MAX_QUESTION:
        raise ValueError("the question does not end")
    return end


def key(packet: bytes, end: int) -> bytes:
    """The same for queries that have the same answer: all but the id and the case of the question."""
    tail = end - _TAIL
    return packet[2:HEADER] + packet[HEADER:tail].lower() + packet[tail:]


def disguised(question: bytes, entropy: bytes) -> tuple[bytes, int]:
    """The question with letters large and small at random (draft-vixie-dnsext-dns0x20), never all small, and
    how many letters it has. `entropy` has its length."""
    name = question[:-_TAIL].lower()
    size = len(name)
    mask = int.from_bytes(name.translate(_BITS), "big")
    flips = int.from_bytes(entropy[:size], "big") & mask or mask
    return (int.from_bytes(name, "big") ^ flips).to_bytes(size, "big") + question[-_TAIL:], mask.bit_count()


def judge(reply: bytes, question: bytes, *, exact: bool) -> Verdict:
    """What `reply` is to the query with its id and this question; `exact`: it must keep large and small."""
    if len(reply) < HEADER or reply[2] & 0xF8 != 0x80:
        return Verdict.FOREIGN
    verdict = _BY_RCODE[reply[3] & 0x0F]
    if not reply.startswith(question, HEADER) or reply[4:6] != _ONE:
        if _questionless(reply):
            return Verdict.ERROR
        if not _same_but_case(reply, question):
            return Verdict.FOREIGN
        if exact:
            return Verdict.OTHER_CASE
    return Verdict.TRUNCATED if reply[2] & 0x02 and verdict is Verdict.ANSWER else verdict


def _questionless(reply: bytes) -> bool:
    """An error that repeats nothing and tells nothing else, as of servers that could not read the query."""
    return _BY_RCODE[reply[3] & 0x0F] is Verdict.ERROR and not any(reply[4:10])


def _same_but_case(reply: bytes, question: bytes) -> bool:
    tail, end = HEADER + len(question) - _TAIL, HEADER + len(question)
    return (
        reply[4:6] == _ONE
        and reply[HEADER:tail].lower() == question[:-_TAIL].lower()
        and reply[tail:end] == question[-_TAIL:]
    )
