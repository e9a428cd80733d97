"""What this process is busy with and what its memory is full of: names, places and numbers, never values."""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from types import CodeType
from typing import Any

import psutil

_SHOWN_TYPES = 40


def tasks_page() -> str:
    """Tasks of the event loop, by what they run and where they wait."""
    found = Counter(_place(task) for task in asyncio.all_tasks())
    lines = [f"{number:>8}  {place}" for place, number in found.most_common()]
    return "\n".join([f"{found.total()} tasks", *lines, ""])


def memory_page() -> str:
    """Memory of the process, and the most frequent types of what the collector looks after."""
    memory = psutil.Process().memory_info()
    objects = gc.get_objects()
    found = Counter(f"{type(each).__module__}.{type(each).__qualname__}" for each in objects)
    lines = [f"{number:>8}  {name}" for name, number in found.most_common(_SHOWN_TYPES)]
    return "\n".join(
        [
            f"resident {memory.rss >> 10} KiB, virtual {memory.vms >> 10} KiB",
            f"collections {[each['collections'] for each in gc.get_stats()]}, frozen {gc.get_freeze_count()}",
            f"{len(objects)} objects are tracked",
            *lines,
            "",
        ]
    )


def _place(task: asyncio.Task[Any]) -> str:
    """Function and line that the innermost coroutine of a task waits in."""
    outer: Any = task.get_coro()
    coroutine = outer
    while getattr(coroutine, "cr_await", None) is not None and hasattr(coroutine.cr_await, "cr_code"):
        coroutine = coroutine.cr_await
    code: CodeType | None = getattr(coroutine, "cr_code", None)
    frame = getattr(coroutine, "cr_frame", None)
    name = getattr(outer, "__qualname__", type(outer).__name__)
    if code is None or frame is None:
        return name
    return f"{name} at {code.co_filename}:{frame.f_lineno}"
