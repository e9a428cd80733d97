"""Our name server: against others on the same names in the same run, and by itself."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import socket
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import dns_alone
from dns_others import OTHERS, Names, made_names
from dns_served import Ours
from dnslib import DNSRecord
from dnsperf import RATE, Load, load, shown_latency, write_questions
from probe import Row, shown_ratios, tree_cpu_s, tree_memory_mb

from lab import Program, free_port

GOALS = {"unbound": "<= 0.8", "dnsmasq": "<= 0.8", "NSD": "<= 1.0", "Envoy's dns_filter": "<= 0.5"}
OURS = "ours"
CHECKED = 20
"""Names whose addresses are compared before anything is measured."""


@dataclass(frozen=True, slots=True)
class Scale:
    """So many names, rounds, and seconds of them at saturation and at `RATE`."""

    names: int = 10_000
    rounds: int = 9
    saturated_s: float = 1.0
    paced_s: float = 1.0
    alone: dns_alone.Scale = dns_alone.FULL


FULL = Scale()
QUICK = Scale(names=1_000, rounds=1, saturated_s=0.3, paced_s=0.3, alone=dns_alone.QUICK)


@dataclass(slots=True)
class Server:
    """One that runs; `pid` is that of the process that started all others of it, if there are any."""

    name: str
    port: int
    pid: int
    memory_mb: Callable[[], float]
    saturated: list[Load] = field(default_factory=list)
    cpu_us: list[float] = field(default_factory=list)
    """Of each answer at saturation, by round."""
    paced: list[Load] = field(default_factory=list)
    paced_cpu_s: float = 0.0

    def measure_round(self, questions: Path, scale: Scale, core: int) -> None:
        before = tree_cpu_s(self.pid)
        saturated = load(self.port, questions, scale.saturated_s, core=core)
        between = tree_cpu_s(self.pid)
        self.paced.append(load(self.port, questions, scale.paced_s, rate=RATE, core=core))
        self.paced_cpu_s += tree_cpu_s(self.pid) - between
        self.saturated.append(saturated)
        self.cpu_us.append((between - before) / saturated.answered * 1e6)

    @property
    def row(self) -> Row:
        rate, cost = statistics.median(each.rate for each in self.saturated), statistics.median(self.cpu_us)
        paced_us = self.paced_cpu_s / sum(each.answered for each in self.paced) * 1e6
        shown = (
            f"{rate:,.0f}/s, {cost:.2f} us CPU each; at {RATE:,}/s {shown_latency(self.paced)}, "
            f"{paced_us:.0f} us CPU each; {self.memory_mb():.1f} MB"
        )
        return f"DNS, {self.name}", shown, "p99 <= 0.5 ms" if self.name == OURS else ""


def addresses(port: int, name: str) -> set[str]:
    """What a server answers, IPv4 and IPv6; empty when it does not."""
    found = set()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock, contextlib.suppress(OSError):
        sock.settimeout(1.0)
        sock.connect(("127.0.0.1", port))
        for kind in ("A", "AAAA"):
            sock.send(DNSRecord.question(name, kind).pack())
            found |= {str(record.rdata) for record in DNSRecord.parse(sock.recv(4096)).rr}
    return {str(ipaddress.ip_address(address)) for address in found}


def check(server: Server, names: Names) -> None:
    """A server that is fast because it answers nothing must not be compared."""
    some = list(names)[:: max(1, len(names) // CHECKED)]
    for name in (*some, list(names)[-1]):
        wanted = {str(ipaddress.ip_address(address)) for address in names[name]}
        assert addresses(server.port, name) == wanted, f"{server.name}: {name}"


@contextlib.contextmanager
def servers(folder: Path, names: Names, core: int) -> Iterator[Sequence[Server]]:
    """All of them, each answering, pinned to one core."""
    pinned = ["taskset", "-c", str(core)]
    last = list(names)[-1]
    running = []
    with contextlib.ExitStack() as stack:
        ours = stack.enter_context(contextlib.closing(Ours(folder, free_port(), pinned)))
        ours.apply(len(names))
        running.append(Server(OURS, ours.port, ours.pid, lambda: tree_memory_mb(ours.worker)))
        for name, configure in OTHERS.items():
            port = free_port()
            program = Program(configure.__name__, [*pinned, *configure(folder, port, names)], folder, {})
            stack.callback(program.end)
            program.wait_until(lambda port=port: addresses(port, last), "answering")
            pid = program.process.pid
            running.append(Server(name, port, pid, lambda pid=pid: tree_memory_mb(pid)))
        yield running


def compare(scale: Scale, folder: Path, server_core: int, client_core: int) -> list[Row]:
    names = made_names(scale.names)
    questions = write_questions(folder / "questions", names)
    with servers(folder, names, server_core) as running:
        for each in running:
            check(each, names)
        for number in range(scale.rounds):
            # Each goes first in its turn, so that drift of the machine hits all alike.
            first = number % len(running)
            for each in (*running[first:], *running[:first]):
                each.measure_round(questions, scale, client_core)
        return report({each.name: each for each in running})


def report(measured: Mapping[str, Server]) -> list[Row]:
    rows = [server.row for server in measured.values()]
    ours = measured[OURS]
    for name, goal in GOALS.items():
        ratios = [one / other for one, other in zip(ours.cpu_us, measured[name].cpu_us, strict=True)]
        rows.append((f"DNS, ours / {name} in CPU per query", shown_ratios(ratios), goal))
    return rows


def run(scale: Scale = FULL) -> list[Row]:
    cores = sorted(os.sched_getaffinity(0))
    assert len(cores) > 1, "the name servers and their client need a core each"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        return [*compare(scale, folder, *cores[:2]), *dns_alone.rows(scale.alone, folder, *cores[:2])]


if __name__ == "__main__":
    for line in run(QUICK if "quick" in sys.argv[1:] else FULL):
        print("  ".join(line))
