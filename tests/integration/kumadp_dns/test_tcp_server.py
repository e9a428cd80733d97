"""How connections share the time of the worker."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections import Counter
from typing import Any

from fake_loop import FakeLoop
from kumadp_dns.loop import Loop
from kumadp_dns.serving.loop_worker import EpollLoop
from kumadp_dns.serving.tcp_server import CONNECTIONS_A_TURN, QUERIES_A_TURN, Limits, TcpServer
from name_server import LOOPBACK, framed, read_message, tcp_client


class _Resolver:
    """Answers with the query. `asked`: how many in each turn of the loop, by client."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self.asked: dict[float, Counter[bytes]] = {}

    def ask(self, packet: bytes, tcp: bool, *_: Any) -> bytes:
        assert tcp
        self.asked.setdefault(self._loop.now(), Counter())[packet[:2]] += 1
        return packet


def test_connections_that_ask_much_at_once_take_turns() -> None:
    clients, queries = 3 * CONNECTIONS_A_TURN, 5 * QUERIES_A_TURN + 3
    bugs: list[Exception] = []
    loop = EpollLoop(bugs.append)
    resolver: Any = _Resolver(loop)
    with contextlib.ExitStack() as stack:
        bell, button = map(stack.enter_context, socket.socketpair())
        loop.watch(bell, loop.stop)
        listener = stack.enter_context(socket.create_server((LOOPBACK, 0), backlog=clients))
        listener.setblocking(False)
        TcpServer(loop, resolver, Limits(clients, 3_600.0)).serve(listener)
        asking = [stack.enter_context(tcp_client(listener.getsockname()[1])) for _ in range(clients)]
        for number, client in enumerate(asking):
            client.sendall(framed(number.to_bytes(2, "big") + b"?" * 20) * queries)
            client.shutdown(socket.SHUT_WR)
        worker = threading.Thread(target=loop.run)
        worker.start()
        answers = [[read_message(client)[:2] for _ in range(queries + 1)] for client in asking]
        button.send(b"!")
        worker.join()
    assert not bugs
    assert answers == [[number.to_bytes(2, "big")] * queries + [b""] for number in range(clients)]
    so_far: Counter[bytes] = Counter()
    for turn in resolver.asked.values():
        assert len(turn) <= CONNECTIONS_A_TURN
        so_far += turn
        least = min(so_far.values()) if len(so_far) == clients else 0
        assert max(so_far.values()) - least <= QUERIES_A_TURN


def test_who_waits_for_a_turn_is_not_idle() -> None:
    """Of two connections the older one has asked, and its turn has not come: room is made by the other."""
    loop = FakeLoop()
    resolver: Any = _Resolver(loop)
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server((LOOPBACK, 0)))
        listener.setblocking(False)
        server = TcpServer(loop, resolver, Limits(2, 3_600.0))
        server.serve(listener)

        def client() -> socket.socket:
            made = stack.enter_context(tcp_client(listener.getsockname()[1]))
            _read(loop, listener)
            return made

        asking = client()
        connection = next(sock for sock in loop.watched if sock is not listener)
        other = client()
        asking.sendall(framed(b"??" * 10))
        _read(loop, connection)
        _read(loop, connection)  # nothing more is read before the turn
        assert connection not in loop.watched
        client()
        assert read_message(other) == b""
        loop.advance(0.0)
        assert read_message(asking) == b"??" * 10
        assert connection in loop.watched
        for sock in set(loop.watched) - {listener}:
            stack.callback(sock.close)  # type: ignore[attr-defined]


def _read(loop: FakeLoop, sock: Any) -> None:
    readable, _ = loop.watched[sock]
    assert readable
    readable()
