"""A DNS server on loopback that does what a test tells it, and a stage where it meets the forwarder.

All of them run on one loop in one thread, so that things happen in the order of the script.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field

from forward_world import NOERROR, Client, query, reply
from kumadp_dns.figures import Figures
from kumadp_dns.forwarding.outcomes import DEFAULTS, Settings
from kumadp_dns.forwarding.resolv_conf import ResolvConf, Server
from kumadp_dns.forwarding.upstreams_client import Upstreams
from kumadp_dns.serving.loop_worker import EpollLoop

Scenario = Generator[Sequence[Client], None, None]

PATIENCE_S = 60.0
"""After so long a scenario is stuck."""


@dataclass(eq=False)
class Asked:
    """A query that has come to a server, and the way back."""

    packet: bytes
    client: tuple[str, int]
    tcp: bool
    send: Callable[[bytes], object]
    """These bytes, with their length before them over TCP."""
    cut: Callable[[], object]
    """Over TCP: close the connection."""

    def answer(self, rcode: int = NOERROR, *, tc: bool = False, tail: bytes = b"") -> None:
        self.send(reply(self.packet, rcode, tc=tc, tail=tail))


class ScriptedServer:
    """UDP and TCP on one port of an address. `script` is called for each query; without one it answers."""

    def __init__(self, loop: EpollLoop, host: str = "127.0.0.1") -> None:
        self.script: Callable[[Asked], object] = Asked.answer
        self.asked: list[Asked] = []
        self._loop = loop
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._tcp = socket.create_server((host, 0), family=family)
        self._tcp.setblocking(False)
        self._udp = socket.socket(family, socket.SOCK_DGRAM)
        self._udp.bind(self._tcp.getsockname())
        self.address = Server(*self._tcp.getsockname()[:2])
        self._open: list[socket.socket] = [self._tcp, self._udp]
        loop.watch(self._udp, self._read)
        loop.watch(self._tcp, self._accept)

    def close(self) -> None:
        """From now on the host says that nobody is there."""
        for sock in self._open:
            self._forget(sock)
        self._open.clear()

    def stop_tcp(self) -> None:
        self._open.remove(self._tcp)
        self._forget(self._tcp)

    def _forget(self, sock: socket.socket) -> None:
        self._loop.watch(sock)
        sock.close()

    def _read(self) -> None:
        packet, client = self._udp.recvfrom(65_535)
        self._ask(Asked(packet, client[:2], False, lambda data: self._udp.sendto(data, client), lambda: None))

    def _accept(self) -> None:
        sock, client = self._tcp.accept()
        buffer = bytearray()
        self._open.append(sock)

        def send(data: bytes) -> None:
            if sock in self._open:
                sock.sendall(len(data).to_bytes(2, "big") + data)

        def cut() -> None:
            if sock in self._open:
                self._open.remove(sock)
                self._forget(sock)

        def read() -> None:
            data = sock.recv(65_535)
            if not data:
                cut()
                return
            buffer.extend(data)
            while len(buffer) > 2 and len(buffer) >= (end := 2 + int.from_bytes(buffer[:2], "big")):
                packet = bytes(buffer[2:end])
                del buffer[:end]
                self._ask(Asked(packet, client[:2], True, send, cut))

        self._loop.watch(sock, read)

    def _ask(self, asked: Asked) -> None:
        self.asked.append(asked)
        self.script(asked)


@dataclass(eq=False)
class Stage:
    """Forwarder and servers. A scenario yields the queries that must have an outcome before it goes on."""

    figures: Figures = field(default_factory=Figures)
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.bugs: list[Exception] = []
        self.loop = EpollLoop(self._bug)
        self.servers: list[ScriptedServer] = []
        self._open: list[Callable[[], None]] = []
        self._awaited: Sequence[Client] = ()
        self._scenario: Scenario | None = None

    def server(self, host: str = "127.0.0.1") -> ScriptedServer:
        server = ScriptedServer(self.loop, host)
        self.servers.append(server)
        self._open.append(server.close)
        return server

    def upstreams(
        self,
        *servers: Server,
        settings: Settings = DEFAULTS,
        own: Sequence[tuple[str, int]] = (),
        use_vc: bool = False,
    ) -> Upstreams:
        conf = ResolvConf(servers, use_vc=use_vc)
        made = Upstreams(self.loop, self.figures, conf, own, self._note, settings=settings)
        self._open.append(made.close)
        return made

    def ask(self, upstreams: Upstreams, packet: bytes | None = None, *, tcp: bool = False) -> Client:
        client = Client(query() if packet is None else packet, tcp, self.loop.now())

        def done(outcome: object) -> None:
            client.outcomes.append(outcome)  # type: ignore[arg-type]
            self.loop.call_at(self.loop.now(), self._go_on)

        upstreams.submit(client.packet, tcp, done)
        assert not client.outcomes  # never before `submit` has returned
        return client

    def play(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self.loop.call_at(self.loop.now() + PATIENCE_S, self._end)
        self.loop.call_at(self.loop.now(), self._go_on)
        self.loop.run()
        if self.bugs:
            raise self.bugs[0]
        assert self._scenario is None, "the scenario is stuck"

    def _go_on(self) -> None:
        if self._scenario and all(client.outcomes for client in self._awaited):
            self._awaited = ()
            try:
                self._awaited = next(self._scenario)
            except StopIteration:
                self._scenario = None
                self._end()

    def _bug(self, error: Exception) -> None:
        self.bugs.append(error)
        self._end()

    def _end(self) -> None:
        self.loop.stop()
        while self._open:
            self._open.pop()()

    def _note(self, kind: str, line: str) -> None:
        self.notes.append(line)
