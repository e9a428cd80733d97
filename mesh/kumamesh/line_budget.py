"""How many lines of a kind a log takes. Whoever can reach a port can cause lines: a flood of them must
neither fill the disk nor hide the others."""

from __future__ import annotations

from dataclasses import dataclass, field

_MAX_KINDS = 256


@dataclass(slots=True)
class _Window:
    begun_at: float
    passed: int = 0
    held: int = 0


@dataclass(slots=True)
class LineBudget:
    """`lines` of each kind pass in `interval` seconds; `held` counts all that did not."""

    lines: int = 20
    interval: float = 10.0
    held: int = 0
    _windows: dict[str, _Window] = field(default_factory=dict)

    def admit(self, kind: str, line: str, now: float) -> str | None:
        """The line to write, with how many like it were left out before; None to leave it out. There must not
        be too many kinds."""
        window = self._windows.get(kind)
        before = 0
        if window is None or not 0.0 <= now - window.begun_at < self.interval:
            before = window.held if window else 0
            if len(self._windows) >= _MAX_KINDS:
                self._windows.clear()
            window = self._windows[kind] = _Window(now)
        if window.passed >= self.lines:
            window.held += 1
            self.held += 1
            return None
        window.passed += 1
        return f"{line} ({before} lines like this were left out)" if before else line
