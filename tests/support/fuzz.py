"""A small fuzzer: seeds, mutations, a property; the same inputs for the same seed.

An input whose outcome was not seen before becomes a seed itself, so that the search goes where the parser
still has something new to say.
"""

from __future__ import annotations

import gc
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random
from types import FrameType

import psutil

from fuzz_mutate import MAX_BYTES, Mutation

CPU_LIMIT_S = 5.0
"""CPU time that no input may take; honest ones of this size take a hundredth."""
HANG_S = 120
_CORPUS = 1_000
_KEPT_BYTES = 8_192
_OUTCOME_CHARS = 80


@dataclass(frozen=True)
class Target:
    """`check` raises for an input that breaks the property; else it names the outcome."""

    name: str
    seeds: Sequence[bytes]
    mutations: Sequence[Mutation]
    check: Callable[[bytes], str]
    share: float = 1.0
    """Inputs in proportion to other targets: less for those that take longer."""


@dataclass(frozen=True)
class Figures:
    """What a run of one target took. `growth_mib` is resident memory, from a tenth of the run to its end."""

    target: str
    inputs: int
    seconds: float
    slowest_s: float
    outcomes: int
    growth_mib: float


class Broken(AssertionError):
    """An input that breaks the property of a target."""

    def __init__(self, target: Target, data: bytes, reason: str) -> None:
        super().__init__(f"{target.name}: {reason}\ninput: {data!r}")
        self.data = data


class _Hang(BaseException):
    pass


def run(target: Target, count: int, *, seed: int = 0) -> Figures:
    """Raises Broken at the first input that breaks the property."""
    random = Random(f"{target.name}/{seed}")
    corpus, known = list(target.seeds), set[str]()
    slowest, resident = 0.0, 0
    begun = time.monotonic()
    with _alarm():
        for number in range(count):
            if number == count // 10:
                resident = _resident()
            data = corpus[number] if number < len(target.seeds) else make(target, corpus, random)
            took, outcome = judge(target, data)
            slowest = max(slowest, took)
            shape = outcome[:_OUTCOME_CHARS]
            if shape not in known and len(corpus) < _CORPUS and len(data) <= _KEPT_BYTES:
                known.add(shape)
                corpus.append(data)
    growth = (_resident() - resident) / 2**20
    return Figures(target.name, count, time.monotonic() - begun, slowest, len(known), growth)


def make(target: Target, corpus: Sequence[bytes], random: Random) -> bytes:
    """A new input from the corpus."""
    data = random.choice(corpus)
    for _ in range(random.choice((1, 1, 1, 2, 3, 6))):
        data = random.choice(target.mutations)(data, random)[:MAX_BYTES]
    return data


def judge(target: Target, data: bytes) -> tuple[float, str]:
    """CPU seconds and outcome of one input; raises Broken."""
    begun = time.thread_time()
    signal.alarm(HANG_S)
    try:
        outcome = target.check(data)
    except _Hang:
        raise Broken(target, data, f"no end within {HANG_S} s") from None
    except Exception as error:
        raise Broken(target, data, f"{type(error).__name__}: {error}"[:2_000]) from error
    took = time.thread_time() - begun
    if took > CPU_LIMIT_S:
        raise Broken(target, data, f"took {took:.1f} s of CPU")
    return took, outcome


@contextmanager
def _alarm() -> Iterator[None]:
    def ring(_: int, __: FrameType | None) -> None:
        raise _Hang

    before = signal.signal(signal.SIGALRM, ring)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def _resident() -> int:
    gc.collect()
    return int(psutil.Process().memory_info().rss)
