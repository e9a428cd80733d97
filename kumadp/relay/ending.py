"""How a relayed stream ended, and what that means. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

_REFUSALS = frozenset({"UNAUTHENTICATED", "PERMISSION_DENIED"})
_FIRST_HOLD_S = 1.0
_LONGEST_HOLD_S = 30.0


@dataclass(frozen=True, slots=True)
class Ending:
    """`code` is the name of a gRPC status; `by_upstream` says which side ended the stream."""

    code: str
    details: str = ""
    by_upstream: bool = True

    @property
    def refused(self) -> bool:
        """The control plane does not let this proxy in; asking again at once would not help."""
        return self.by_upstream and self.code in _REFUSALS

    @property
    def clean(self) -> bool:
        return self.code == "OK"

    def reason(self) -> str:
        """One line for a person."""
        details = " ".join(self.details.split()) or "no reason given"
        if self.refused:
            return f"the control plane refuses this proxy ({self.code}): {details}"
        return f"{self.code}: {details}"


@dataclass(slots=True)
class Holds:
    """How long a refused Envoy waits before it may ask again; Envoy's own back-off knows no refusals."""

    _streak: int = 0

    def after(self, ending: Ending, chance: float) -> float:
        """Seconds; `chance` is a random number in [0, 1)."""
        if not ending.refused:
            self._streak = 0
            return 0.0
        ceiling = min(_LONGEST_HOLD_S, _FIRST_HOLD_S * 2.0 ** min(self._streak, 16))
        self._streak += 1
        return ceiling * (0.5 + chance / 2)


@dataclass(slots=True)
class LineLimit:
    """Lets one and the same line pass once per `interval` seconds, and counts what it held back."""

    interval: float = 10.0
    _last: dict[str, tuple[float, int]] = field(default_factory=dict)

    def admit(self, line: str, now: float) -> str | None:
        """The line to write, or None."""
        moment, held = self._last.get(line, (None, 0))
        if moment is not None and now - moment < self.interval:
            self._last[line] = (moment, held + 1)
            return None
        if len(self._last) >= 256:
            self._last.clear()
        self._last[line] = (now, 0)
        return f"{line} (and {held} times before)" if held else line
