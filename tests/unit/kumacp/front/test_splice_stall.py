from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from kumacp.front.splice_relay import _End


class FakeTransport(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__()
        self.unsent = 0
        self.calls: list[str] = []
        self.written: list[bytes | bytearray | memoryview] = []

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.calls.append(f"write {bytes(data)!r}")
        self.written.append(data)

    def pause_reading(self) -> None:
        self.calls.append("pause")

    def resume_reading(self) -> None:
        self.calls.append("resume")

    def close(self) -> None:
        self.calls.append("close")

    def abort(self) -> None:
        self.calls.append("abort")


@pytest.fixture
async def ends() -> AsyncIterator[tuple[_End, FakeTransport, _End, FakeTransport]]:
    lost: list[None] = []
    one, two = _End(lambda: lost.append(None)), _End(lambda: lost.append(None))
    one.join(two)
    transports = FakeTransport(), FakeTransport()
    one.connection_made(transports[0])
    two.connection_made(transports[1])
    yield one, transports[0], two, transports[1]
    one.connection_lost(None)
    two.connection_lost(None)
    assert len(lost) == 2
    handles = [each._stall for each in (one, two)] + [each._linger for each in (one, two)]
    assert all(handle is None or handle.cancelled() for handle in handles)


Ends = tuple[_End, FakeTransport, _End, FakeTransport]


def receive(end: _End, data: bytes) -> None:
    """What a transport does with bytes that arrive."""
    end.get_buffer(-1)[: len(data)] = data
    end.buffer_updated(len(data))


async def test_bytes_go_to_the_other_end(ends: Ends) -> None:
    one, one_transport, two, two_transport = ends
    receive(one, b"a")
    receive(two, b"b")
    assert (one_transport.calls, two_transport.calls) == (["write b'b'"], ["write b'a'"])


async def test_bytes_that_a_transport_keeps_are_not_those_of_the_next_read(ends: Ends) -> None:
    one, _, two, two_transport = ends
    receive(one, b"first")
    receive(two, b"other")
    assert [bytes(data) for data in two_transport.written] == [b"first"]


async def test_slow_end_pauses_the_other(ends: Ends) -> None:
    one, one_transport, _, two_transport = ends
    one.pause_writing()
    one.resume_writing()
    assert (one_transport.calls, two_transport.calls) == ([], ["pause", "resume"])
    assert one._stall is not None
    assert one._stall.cancelled()


async def test_reader_that_takes_a_little_is_waited_for_one_that_takes_nothing_is_cut_off(ends: Ends) -> None:
    one, transport, _, _ = ends
    transport.unsent = 100
    one.pause_writing()
    transport.unsent = 99
    one._check_stall(100)
    assert transport.calls == []
    one._check_stall(99)
    assert transport.calls == ["abort"]


async def test_end_of_one_side_closes_both_and_nothing_is_sent_after(ends: Ends) -> None:
    one, one_transport, two, two_transport = ends
    one.eof_received()
    receive(one, b"late")
    receive(two, b"late")
    assert (one_transport.calls, two_transport.calls) == (["close"], ["close"])


async def test_end_that_is_over_before_it_is_connected_is_closed_at_once() -> None:
    lost: list[None] = []
    one, two = _End(lambda: lost.append(None)), _End(lambda: lost.append(None))
    one.join(two)
    first, second = FakeTransport(), FakeTransport()
    one.connection_made(first)
    one.connection_lost(None)
    two.connection_made(second)
    assert second.calls == ["abort"]
    two.connection_lost(None)
    assert len(lost) == 2
