"""Measure everything, print one table and write it to docs/performance.md.

`python tests/bench/run.py [NAME ...]` runs only the named benchmarks and writes nothing.
"""

from __future__ import annotations

import datetime
import importlib
import os
import platform
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path[:0] = [str(HERE), str(HERE.parent / "support")]

BENCHMARKS = (
    "agent",
    "relay",
    "push",
    "fleet",
    "growth",
    "rest",
    "overview",
    "zones_latency",
    "zones_global",
    "datapath",
    "dns",
)
NEEDED = {
    "datapath": {"wrk": "wrk"},
    "dns": {"dnsperf": "dnsperf", "unbound": "unbound", "dnsmasq": "dnsmasq-base", "nsd": "nsd"},
}
"""Programs of others that a benchmark starts, and their packages of Debian and Ubuntu."""
PAGE = ROOT / "docs" / "performance.md"
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"


def machine() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(": ")[2] for line in lines if "model name" in line), platform.machine())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{datetime.datetime.now(datetime.UTC).date()}: {os.cpu_count()} cores ({model}), {memory:.0f} GiB, "
        f"{platform.system()} {platform.release()}, Python {platform.python_version()}"
    )


def table(rows: list[tuple[str, str, str]]) -> str:
    widths = [max(len(row[column]) for row in [("what", "measured", "goal"), *rows]) for column in range(3)]
    lines = [("what", "measured", "goal"), tuple("-" * width for width in widths), *rows]
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |"
        for line in lines
    )


def write(text: str) -> None:
    page = PAGE.read_text() if PAGE.exists() else f"{BEGIN}\n{END}\n"
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}")


def missing_packages(benchmarks: Sequence[str]) -> str:
    needed = [program for name in benchmarks for program in NEEDED.get(name, {}).items()]
    return " ".join(package for program, package in needed if shutil.which(program) is None)


def main() -> None:
    named = sys.argv[1:]
    # Debian keeps servers where not everybody looks for programs.
    os.environ["PATH"] += ":/usr/sbin"
    if packages := missing_packages(named or BENCHMARKS):
        sys.exit(f"what is measured needs other programs; on Debian or Ubuntu: apt-get install {packages}")
    rows: list[tuple[str, str, str]] = []
    for name in named or BENCHMARKS:
        print(f"measuring: {name} ...", flush=True)
        found = importlib.import_module(f"bench_{name}").run()
        rows += found
        print(table(found), flush=True)
    if not named:
        write(f"{machine()}\n\n{table(rows)}")
        print(f"written to {PAGE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
