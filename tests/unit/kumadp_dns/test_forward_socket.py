"""Messages in a stream that comes and goes in pieces of any size."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fake_loop import FakeLoop
from kumadp_dns.forwarding.socket_client import Stream


class Pipe:
    """A socket that gives these pieces, None being a reset, and takes so many bytes at a time: 0 is no room,
    what is below is a broken connection."""

    def __init__(self, pieces: list[bytes | None], room: list[int]) -> None:
        self.pieces, self.room = pieces, room
        self.taken = bytearray()
        self.closed = False

    def fileno(self) -> int:
        return 99

    def setsockopt(self, *_: int) -> None:
        pass

    def recv(self, size: int) -> bytes:
        if not self.pieces:
            raise BlockingIOError
        piece = self.pieces.pop(0)
        if piece is None:
            raise ConnectionResetError(104, "reset")
        assert len(piece) <= size
        return piece

    def send(self, data: bytearray) -> int:
        room = self.room.pop(0) if self.room else 0
        if room < 0:
            raise BrokenPipeError(32, "broken")
        if not room:
            raise BlockingIOError
        self.taken += data[:room]
        return min(room, len(data))

    def close(self) -> None:
        self.closed = True


class Played:
    def __init__(self, pieces: Sequence[bytes | None] = (), room: Sequence[int] = ()) -> None:
        self.loop = FakeLoop()
        self.pipe = Pipe(list(pieces), list(room))
        self.heard: list[bytes] = []
        self.failed: list[str] = []
        sock: socket.socket = self.pipe  # type: ignore[assignment]
        self.stream = Stream(self.loop, sock, self.heard.append, self.failed.append)

    def read(self) -> None:
        while self.pipe.pieces and self.pipe in self.loop.watched:
            on_readable, _ = self.loop.watched[self.pipe]
            assert on_readable
            on_readable()

    def write(self) -> None:
        while self.pipe.room and (on_writable := self.loop.watched[self.pipe][1]):
            on_writable()


def framed(messages: list[bytes]) -> bytes:
    return b"".join(len(message).to_bytes(2, "big") + message for message in messages)


def cut(data: bytes, at: list[int]) -> Iterator[bytes]:
    ends = sorted({end % (len(data) + 1) for end in at} | {0, len(data)})
    yield from (data[begin:end] for begin, end in pairwise(ends))


MESSAGES = st.lists(st.binary(max_size=40), max_size=6)


@given(MESSAGES, st.lists(st.integers(0, 10_000), max_size=20))
def test_messages_come_out_as_they_were_put_in(messages: list[bytes], at: list[int]) -> None:
    played = Played(list(cut(framed(messages), at)))
    played.read()
    assert played.heard == messages


@given(MESSAGES, st.lists(st.integers(0, 20), max_size=60))
def test_what_is_sent_is_written_in_order_as_there_is_room(messages: list[bytes], room: list[int]) -> None:
    played = Played(room=[*room, *[1_000] * 10])
    for message in messages:
        assert played.stream.send(message) is None
        on_writable = played.loop.watched[played.pipe][1]
        if on_writable and played.pipe.room:
            on_writable()
    played.write()
    assert played.pipe.taken == framed(messages)
    assert not messages or played.loop.watched[played.pipe][1] is None  # nothing to wait for any more


@pytest.mark.parametrize("piece", [b"", None], ids=["end", "reset"])
def test_the_end_is_told(piece: bytes | None) -> None:
    played = Played([framed([b"whole"]) + b"\0\x09half", piece])
    played.read()
    assert played.heard == [b"whole"]
    assert played.failed == ["closed"]


def test_a_broken_connection_is_told_to_the_one_who_sends() -> None:
    played = Played(room=[9, -1])
    played.stream.send(b"first")
    played.write()
    assert played.stream.send(b"second") == "closed"
    waiting = Played(room=[-1])
    waiting.stream.send(b"first")
    waiting.write()
    assert waiting.failed == ["closed"]


def test_nothing_is_heard_after_it_is_closed() -> None:
    played = Played([framed([b"one", b"two"])])

    def hear(message: bytes) -> None:
        played.heard.append(message)
        played.stream.close()

    played.stream._hear = hear
    played.read()
    assert played.heard == [b"one"]
    assert played.pipe.closed
    assert played.loop.watched == {}
