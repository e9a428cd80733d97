"""Our name server by itself: many names, tables swapped under load, pushes that pass the relay beside it."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import statistics
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import bench_relay
import grpc.aio
from dns_others import made_names
from dns_served import Ours
from dnsperf import RATE, TIMEOUT_S, command, load, parse, shown_latency, write_questions
from probe import Row, shown_ms, tree_cpu_s, tree_memory_mb

from lab import eventually, free_port

PUSH = 20_000_000
SWAPS_LIMIT_S = 600


@dataclass(frozen=True, slots=True)
class Scale:
    """`names` of the tables that are swapped, and beside the relay; `many` of the large one."""

    names: int = 10_000
    many: int = 100_000
    swaps: int = 1_000
    rounds: int = 9
    round_s: float = 1.0


FULL = Scale()
QUICK = Scale(names=1_000, many=5_000, swaps=20, rounds=1, round_s=0.3)


def many_names(scale: Scale, folder: Path, server_core: int, client_core: int) -> list[Row]:
    """What a large table costs in memory, at first and when it has been replaced, and in answers."""
    questions = write_questions(folder / "many", made_names(scale.many))
    with contextlib.closing(Ours(folder, free_port(), ["taskset", "-c", str(server_core)])) as ours:
        ours.apply(1)
        bare = tree_memory_mb(ours.worker)
        seconds = ours.apply(scale.many)
        first = tree_memory_mb(ours.worker)
        ours.swap(scale.many, 2)
        replaced = tree_memory_mb(ours.worker)
        rates, costs = [], []
        for _ in range(scale.rounds):
            before = tree_cpu_s(ours.pid)
            found = load(ours.port, questions, scale.round_s, core=client_core)
            rates.append(found.rate)
            costs.append((tree_cpu_s(ours.pid) - before) / found.answered * 1e6)
        kept = ours.kept_mb()
    first, replaced, kept = (mb * 1024 / scale.many for mb in (first - bare, replaced - bare, kept))
    shown = f"{statistics.median(rates):,.0f} queries/s, {statistics.median(costs):.2f} us CPU each"
    name = f"DNS, ours with {scale.many:,} names"
    return [
        (name, f"{shown}; answered {seconds:.1f} s after it was given", ""),
        (
            f"{name}, memory per name beyond the bare worker",
            f"{first:.2f} KB, {replaced:.2f} KB after two more tables; {kept:.2f} KB kept by the agent",
            "<= 1 KB",
        ),
    ]


def swaps(scale: Scale, folder: Path) -> Row:
    """Tables that are replaced one after the other while questions come."""
    questions = write_questions(folder / "swapped", made_names(scale.names))
    with contextlib.closing(Ours(folder, free_port())) as ours, (folder / "swaps").open("w+") as output:
        ours.apply(scale.names)
        argv = command(ours.port, questions, SWAPS_LIMIT_S, rate=RATE)
        asking = subprocess.Popen(argv, stdout=output)
        try:
            seconds = ours.swap(scale.names, scale.swaps)
            # What is under way when dnsperf is interrupted counts neither as answered nor as lost.
            time.sleep(2 * TIMEOUT_S)
        finally:
            asking.send_signal(signal.SIGINT)
            asking.wait()
        output.seek(0)
        found = parse(output.read())
    shown = f"{found.lost:,} of {found.answered + found.lost:,} lost, {shown_latency([found])}"
    name = f"DNS, {scale.swaps:,} swaps of {scale.names:,} names at {RATE:,} queries/s"
    return name, f"{shown}; a swap: {shown_ms(seconds)}", "0 lost"


class Pushes:
    """A client of a relay that is sent large pushes, one after the other, in the context of this."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self._over = threading.Event()
        self._pool = ThreadPoolExecutor(1)
        self.passed = 0

    def __enter__(self) -> Pushes:
        self._pulling = self._pool.submit(asyncio.run, self._pull())
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._pool.shutdown()
        self._pulling.result()

    async def _pull(self) -> None:
        options = [*bench_relay.UNLIMITED, ("grpc.ssl_target_name_override", "localhost")]
        async with grpc.aio.insecure_channel(f"unix:{self._socket}", options) as channel:
            call = channel.stream_stream(bench_relay.METHOD)()
            while not self._over.is_set():
                await bench_relay.exchange(call, PUSH)
                self.passed += 1
            call.cancel()


def beside_pushes(scale: Scale, folder: Path) -> Row:
    questions = write_questions(folder / "beside", made_names(scale.names))
    bench_relay.write_certificate(folder)
    upstream_port = free_port()
    quiet, loaded, passed = [], [], 0
    with contextlib.ExitStack() as stack:
        stack.enter_context(bench_relay.running("upstream", upstream_port, folder))
        ours = stack.enter_context(contextlib.closing(Ours(folder, free_port())))
        ours.apply(scale.names)
        ours.relay(upstream_port, folder)
        eventually((folder / "relay.sock").exists, "the relay's socket")
        for _ in range(scale.rounds):
            quiet.append(load(ours.port, questions, scale.round_s, rate=RATE))
            with Pushes(folder / "relay.sock") as pushes:
                loaded.append(load(ours.port, questions, scale.round_s, rate=RATE))
            passed += pushes.passed
    rate = passed / sum(each.seconds for each in loaded)
    shown = f"{shown_latency(loaded)} ({shown_latency(quiet)} without), {rate:.1f} pushes/s"
    return f"DNS, ours at {RATE:,} queries/s while pushes of {PUSH // 10**6} MB pass the relay", shown, ""


def rows(scale: Scale, folder: Path, server_core: int, client_core: int) -> list[Row]:
    return [
        *many_names(scale, folder, server_core, client_core),
        swaps(scale, folder),
        beside_pushes(scale, folder),
    ]
