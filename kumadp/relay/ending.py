"""How a relayed stream ended, and what that means. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

_REFUSALS = frozenset({"UNAUTHENTICATED", "PERMISSION_DENIED"})
_LASTING = _REFUSALS | {"UNIMPLEMENTED"}
_FIRST_HOLD_S = 1.0
_LONGEST_HOLD_S = 30.0
_LONGEST_OUTAGE_HOLD_S = 3.0
"""As long as Envoy's own longest back-off for ADS."""
_MAX_LINES = 256


@dataclass(frozen=True, slots=True)
class Ending:
    """`code` is the name of a gRPC status; `by_upstream` says which side ended the stream."""

    code: str
    details: str = ""
    by_upstream: bool = True

    @property
    def refused(self) -> bool:
        """The control plane does not let this proxy in."""
        return self.by_upstream and self.code in _REFUSALS

    @property
    def lasting(self) -> bool:
        """Asking again at once would not help: the proxy is not let in, or the method is not served."""
        return self.by_upstream and self.code in _LASTING

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
    """How long a refused Envoy waits before it may ask again; Envoy's own back-off knows no refusals. For HDS
    it knows nothing at all and tries, with two lines in the log each time, twice a second: with
    `also_in_outages` it waits whenever the control plane is not there."""

    also_in_outages: bool = False
    _streak: int = 0

    def answered(self) -> None:
        """The control plane serves this method."""
        self._streak = 0

    def after(self, ending: Ending, chance: float) -> float:
        """Seconds; `chance` is a random number in [0, 1)."""
        outage = self.also_in_outages and ending.by_upstream and not ending.clean
        if not (ending.lasting or outage):
            self._streak = 0
            return 0.0
        longest = _LONGEST_HOLD_S if ending.lasting else _LONGEST_OUTAGE_HOLD_S
        ceiling = min(longest, _FIRST_HOLD_S * 2.0 ** min(self._streak, 16))
        self._streak += 1
        return ceiling * (0.5 + chance / 2)


@dataclass(slots=True)
class _Admitted:
    """When a line last passed, how long it is held back from then on, and how often it was."""

    moment: float
    interval: float
    held: int = 0


@dataclass(slots=True)
class LineLimit:
    """Lets one and the same line pass after `interval` seconds, then after twice as many and so on, and
    counts what it held back: an outage of a night fills no disk."""

    interval: float = 10.0
    longest: float = 600.0
    _last: dict[str, _Admitted] = field(default_factory=dict)

    def admit(self, line: str, now: float) -> str | None:
        """The line to write, or None."""
        last = self._last.get(line)
        if last and now < last.moment + last.interval:
            last.held += 1
            return None
        if len(self._last) >= _MAX_LINES:
            self._last.clear()
        recent = last and now < last.moment + 4 * last.interval
        interval = min(self.longest, 2 * last.interval) if last and recent else self.interval
        self._last[line] = _Admitted(now, interval)
        return f"{line} (and {last.held} times before)" if last and last.held else line
