"""What the benchmarks read of running processes, and how they sum up what they measured."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path

import psutil

from lab import ControlPlane

Row = tuple[str, str, str]
"""What was measured, the figure, the goal."""


def pss_mb(pid: int) -> float:
    """Proportional set size: shared pages are counted by their share."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(next(line for line in text.splitlines() if line.startswith("Pss:")).split()[1]) / 1024


def tree_memory_mb(pid: int) -> float:
    """PSS of a process and of all that it started."""
    return sum(pss_mb(process.pid) for process in _tree(pid))


def tree_cpu_s(pid: int) -> float:
    """CPU time of a process, and of all that it started and that still runs, since they started."""
    return cpu_s(_tree(pid))


def cpu_s(processes: Iterable[psutil.Process]) -> float:
    """Their CPU time since they started."""
    times = [process.cpu_times() for process in processes]
    return sum(item.user + item.system for item in times)


def plane_memory_mb(plane: ControlPlane) -> float:
    """PSS of the control plane and of its front."""
    return tree_memory_mb(plane.program.process.pid)


def plane_cpu_s(plane: ControlPlane) -> float:
    """CPU time of the control plane and of its front since they started."""
    return tree_cpu_s(plane.program.process.pid)


def _tree(pid: int) -> list[psutil.Process]:
    root = psutil.Process(pid)
    return [root, *root.children(recursive=True)]


def percentile(values: Sequence[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, round(share * len(values)))]


def shown_ratios(ratios: Iterable[float]) -> str:
    """`0.998 (half of the rounds: 0.972 to 1.031)`: the median, and the middle half."""
    ordered = sorted(ratios)
    low, high = ordered[len(ordered) // 4], ordered[-1 - len(ordered) // 4]
    return f"{statistics.median(ordered):.3f} (half of the rounds: {low:.3f} to {high:.3f})"


def shown_ms(seconds: Sequence[float]) -> str:
    """`p50 3.1 ms, p99 12 ms`"""
    p50, p99 = (percentile(seconds, share) * 1000 for share in (0.5, 0.99))
    return f"p50 {p50:.{_digits(p50)}f} ms, p99 {p99:.{_digits(p99)}f} ms"


def _digits(value: float) -> int:
    return 0 if value >= 20 else 1 if value >= 2 else 2
