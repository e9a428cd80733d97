"""The worker's loop, with real sockets and the real time."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator

import pytest

from kumadp_dns.serving.loop_worker import EpollLoop

Pair = tuple[socket.socket, socket.socket]


def failing(error: Exception) -> None:
    raise error


@pytest.fixture
def loop() -> EpollLoop:
    return EpollLoop(failing)


@pytest.fixture
def pair() -> Iterator[Pair]:
    one, other = socket.socketpair()
    with one, other:
        yield one, other


def run(loop: EpollLoop, *, turns: int = 3) -> None:
    """Until so many turns of the loop are over."""

    def count(left: int) -> None:
        if left:
            loop.call_at(loop.now(), lambda: count(left - 1))
        else:
            loop.stop()

    count(turns)
    loop.run()


def recorded(seen: list[str], what: str) -> Callable[[], None]:
    return lambda: seen.append(what)


def test_timers_run_in_the_order_of_their_time_and_then_of_their_making(loop: EpollLoop) -> None:
    seen: list[str] = []
    now = loop.now()
    for what, when in (("c", now + 0.02), ("a", now - 1.0), ("d", now + 0.02), ("b", now + 0.01)):
        loop.call_at(when, recorded(seen, what))
    loop.call_at(now + 0.02, loop.stop)
    loop.run()
    assert seen == ["a", "b", "c", "d"]


def test_no_timer_runs_before_its_time(loop: EpollLoop) -> None:
    when = loop.now() + 0.05
    moments: list[float] = []

    def ring() -> None:
        moments.append(loop.now())
        loop.stop()

    loop.call_at(when, ring)
    loop.run()
    assert moments[0] >= when


def test_a_timer_for_now_leaves_the_sockets_their_turn(loop: EpollLoop, pair: Pair) -> None:
    seen: list[str] = []

    def again() -> None:
        seen.append("timer")
        if seen == ["timer"]:
            pair[1].send(b"x")
        if "socket" in seen or len(seen) > 1_000:
            loop.stop()
        else:
            loop.call_at(loop.now(), again)

    def read() -> None:
        pair[0].recv(1)
        seen.append("socket")

    loop.watch(pair[0], read)
    loop.call_at(loop.now(), again)
    loop.run()
    assert seen.count("socket") == 1


def test_a_cancelled_timer_does_not_run_and_may_be_cancelled_again(loop: EpollLoop) -> None:
    seen: list[str] = []
    ran = loop.call_at(loop.now(), recorded(seen, "ran"))
    cancelled = loop.call_at(loop.now(), recorded(seen, "cancelled"))
    late = loop.call_at(loop.now(), recorded(seen, "late"))
    loop.call_at(loop.now() - 1.0, late.cancel)
    cancelled.cancel()
    cancelled.cancel()
    run(loop)
    ran.cancel()
    assert seen == ["ran"]


def test_cancelled_timers_do_not_pile_up(loop: EpollLoop) -> None:
    seen: list[str] = []
    kept = [loop.call_at(loop.now() + 0.001 * number, recorded(seen, "kept")) for number in range(5)]
    for _ in range(10_000):
        loop.call_at(loop.now() + 3_600.0, recorded(seen, "cancelled")).cancel()
    assert len(loop._timers) < 1_000
    kept[0].cancel()
    loop.call_at(loop.now() + 0.01, loop.stop)
    loop.run()
    assert seen == ["kept"] * 4


def test_who_is_forgotten_in_a_turn_is_not_called_in_it(loop: EpollLoop) -> None:
    seen: list[str] = []
    pairs = [socket.socketpair() for _ in range(2)]

    def forget_the_other(mine: int) -> None:
        seen.append("called")
        loop.watch(pairs[1 - mine][0])
        loop.watch(pairs[mine][0])

    for number, (one, other) in enumerate(pairs):
        other.send(b"x")
        loop.watch(one, lambda number=number: forget_the_other(number))  # type: ignore[misc]
    run(loop)
    assert seen == ["called"]
    for one, other in pairs:
        one.close()
        other.close()


def test_who_is_forgotten_when_it_is_readable_is_not_called_to_write(loop: EpollLoop, pair: Pair) -> None:
    seen: list[str] = []

    def forget() -> None:
        seen.append("readable")
        loop.watch(pair[0])

    pair[1].send(b"x")
    loop.watch(pair[0], forget, recorded(seen, "writable"))
    run(loop)
    assert seen == ["readable"]


def test_readable_and_writable_are_told_apart_and_replaced(loop: EpollLoop, pair: Pair) -> None:
    seen: list[str] = []
    loop.watch(pair[0], recorded(seen, "old"), recorded(seen, "writable"))
    loop.call_at(loop.now(), lambda: loop.watch(pair[0], recorded(seen, "readable")))
    loop.call_at(loop.now() + 0.01, lambda: pair[1].sendall(b"x"))
    loop.call_at(loop.now() + 0.02, loop.stop)
    loop.run()
    assert seen[0] == "writable"
    assert set(seen) == {"writable", "readable"}


def test_the_end_of_a_stream_is_readable_and_an_error_is_told_to_who_only_writes(loop: EpollLoop) -> None:
    seen: list[str] = []
    one, other = socket.socketpair()
    with one:
        one.setblocking(False)
        while True:
            try:
                one.send(bytes(65_536))
            except BlockingIOError:
                break
        loop.watch(one, None, recorded(seen, "writable"))
        other.close()
        run(loop)
        assert "writable" in seen


def test_an_action_that_fails_is_reported_and_the_others_go_on(pair: Pair) -> None:
    bugs: list[str] = []
    seen: list[str] = []
    loop = EpollLoop(lambda error: bugs.append(str(error)))

    def fail(what: str) -> None:
        raise RuntimeError(what)

    def fail_once() -> None:
        pair[0].recv(1)
        fail("socket")

    pair[1].send(b"x")
    loop.watch(pair[0], fail_once)
    loop.call_at(loop.now(), lambda: fail("timer"))
    loop.call_at(loop.now(), recorded(seen, "next"))
    run(loop)
    assert sorted(bugs) == ["socket", "timer"]
    assert seen == ["next"]


def test_a_socket_that_was_never_watched_may_be_forgotten(loop: EpollLoop, pair: Pair) -> None:
    loop.watch(pair[0])
    run(loop)
