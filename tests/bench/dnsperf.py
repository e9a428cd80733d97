"""Questions to a name server by `dnsperf`, from one thread on a core of its own."""

from __future__ import annotations

import re
import statistics
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from probe import percentile

RATE = 5_000
"""Questions a second where latencies are measured."""
TIMEOUT_S = 1
"""After that an answer counts as lost."""


@dataclass(frozen=True, slots=True)
class Load:
    """What came of the questions. `latencies` are seconds of each answer, of loads with a rate alone."""

    seconds: float
    answered: int
    lost: int
    latencies: tuple[float, ...]

    @property
    def rate(self) -> float:
        """Answers a second."""
        return self.answered / self.seconds


def write_questions(path: Path, names: Iterable[str]) -> Path:
    """A and AAAA of every name, in a file for `load`."""
    path.write_text("".join(f"{name} A\n{name} AAAA\n" for name in names))
    return path


def command(
    port: int, questions: Path, seconds: float, *, rate: int = 0, core: int | None = None
) -> list[str]:
    """`rate` questions a second, each with its latency; 0 is as many as are answered, with 100 under way."""
    pinned = [] if core is None else ["taskset", "-c", str(core)]
    # Without -v the latencies are told as an average only.
    paced = [f"-Q{rate}", "-v"] if rate else []
    return [
        *(*pinned, "dnsperf", "-s", "127.0.0.1", "-p", str(port), "-d", str(questions)),
        *("-T1", f"-t{TIMEOUT_S}", f"-l{seconds}", *paced),
    ]


def load(port: int, questions: Path, seconds: float, *, rate: int = 0, core: int | None = None) -> Load:
    """Ask for so many seconds; every answer must be NOERROR."""
    argv = command(port, questions, seconds, rate=rate, core=core)
    return parse(subprocess.run(argv, capture_output=True, text=True, check=True).stdout)


def shown_latency(loads: Sequence[Load]) -> str:
    """Medians of the loads."""
    p50, p99 = (
        statistics.median(percentile(each.latencies, share) for each in loads) * 1000 for share in (0.5, 0.99)
    )
    return f"p50 {p50:.2f} ms, p99 {p99:.2f} ms"


def parse(output: str) -> Load:
    """Read the output of a finished dnsperf."""

    def figure(name: str) -> float:
        found = re.search(rf"^ *{name}: +([\d.]+)", output, re.MULTILINE)
        assert found, output[-2000:]
        return float(found.group(1))

    answered = int(figure("Queries completed"))
    codes = re.search(r"Response codes: +NOERROR (\d+) \(100.00%\)", output)
    assert codes, output[-2000:]
    assert int(codes.group(1)) == answered, output[-2000:]
    latencies = re.findall(r"^> NOERROR \S+ \S+ ([\d.]+)$", output, re.MULTILINE)
    return Load(
        figure(r"Run time \(s\)"),
        answered,
        int(figure("Queries lost")),
        tuple(map(float, latencies)),
    )
