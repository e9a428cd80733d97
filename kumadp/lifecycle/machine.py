"""From spawned Envoy to exit code: readiness, drain, stop (kuma-dp 2.4; DESIGN.md 4). Pure: events and the
clock in, commands out."""

from __future__ import annotations

import signal
from collections import deque
from dataclasses import dataclass, field
from enum import Enum

from kumadp.lifecycle.exit import Exit
from kumadp.readiness import Readiness

EXIT_KILLED = 1
_REQUESTED = Exit(0)
_IMPATIENT = Exit(EXIT_KILLED, "Envoy was killed: a stop signal came while it was ending already")


class Step(Enum):
    """Calls on the way out; whether one fails changes nothing but the log."""

    FAIL_HEALTHCHECK = "fail the health check"
    LEAVE_CONTROL_PLANE = "leave the control plane"
    DRAIN_LISTENERS = "drain the listeners"
    DRAIN_INBOUND = "drain the inbound listeners"


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds. `min_drain` is how long peers get to hear that this proxy leaves, even when idle; `names` is
    how long a proxy that is ready otherwise waits for its first name table."""

    drain: float
    names: float = 15.0
    min_drain: float = 1.0
    grace: float = 5.0
    live_poll: float = 0.02
    drain_poll: float = 0.1


# Events


@dataclass(frozen=True, slots=True)
class StopSignal:
    """SIGTERM or SIGINT."""


@dataclass(frozen=True, slots=True)
class DrainSignal:
    """SIGUSR2."""


@dataclass(frozen=True, slots=True)
class Configured:
    """Envoy accepted its first clusters and listeners."""


@dataclass(frozen=True, slots=True)
class Named:
    """The first name table is in use."""


@dataclass(frozen=True, slots=True)
class Live:
    """What Envoy's admin interface said."""

    live: bool


@dataclass(frozen=True, slots=True)
class StepDone:
    """A step ended, well or not."""

    step: Step


@dataclass(frozen=True, slots=True)
class Connections:
    """Open downstream connections, None when they could not be counted."""

    count: int | None


@dataclass(frozen=True, slots=True)
class Tick:
    """A moment asked for by WakeAt has come."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The control plane does not let this proxy in."""

    reason: str


@dataclass(frozen=True, slots=True)
class EnvoyExited:
    """`code` as subprocess gives it: negative for a signal."""

    code: int


Event = (
    StopSignal
    | DrainSignal
    | Configured
    | Named
    | Live
    | StepDone
    | Connections
    | Tick
    | Refused
    | EnvoyExited
)

# Commands


@dataclass(frozen=True, slots=True)
class SetReadiness:
    state: Readiness


@dataclass(frozen=True, slots=True)
class TellNameless:
    """The proxy becomes ready without its names, which are too long in coming."""


@dataclass(frozen=True, slots=True)
class AskLive:
    """Answer with Live."""


@dataclass(frozen=True, slots=True)
class CountConnections:
    """Answer with Connections."""


@dataclass(frozen=True, slots=True)
class Perform:
    """Answer with StepDone."""

    step: Step


@dataclass(frozen=True, slots=True)
class WakeAt:
    """Send a Tick at this time."""

    moment: float


@dataclass(frozen=True, slots=True)
class SignalEnvoy:
    number: int


Command = SetReadiness | TellNameless | AskLive | CountConnections | Perform | WakeAt | SignalEnvoy | Exit


class Phase(Enum):
    """STOPPING: SIGTERM was sent to Envoy; KILLED: SIGKILL was."""

    STARTING = 1
    READY = 2
    DRAINING = 3
    STOPPING = 4
    KILLED = 5


@dataclass(slots=True)
class Machine:
    """One run of Envoy; `names_awaited`: it is not ready before there is a name table."""

    timing: Timing
    names_awaited: bool = False
    phase: Phase = Phase.STARTING
    _configured: bool = False
    _nameless_until: float | None = None
    """Set once nothing but the names is missing."""
    _left: bool = False
    _steps: deque[Step] = field(default_factory=deque)
    _drain_from: float = 0.0
    _deadline: float = 0.0
    _exit: Exit = _REQUESTED

    def handle(self, event: Event, now: float) -> list[Command]:
        """What to do next."""
        match event:
            case StopSignal():
                return self._stop(now)
            case DrainSignal():
                return [Perform(Step.DRAIN_INBOUND)] if self.phase is Phase.READY else []
            case Configured():
                self._configured = True
                return [AskLive()] if self.phase is Phase.STARTING else []
            case Named():
                return self._named()
            case Live():
                return self._live(event.live, now)
            case StepDone():
                return self._next_step(event.step, now)
            case Connections():
                return self._counted(event.count, now)
            case Refused():
                return self._refused(event.reason, now)
            case EnvoyExited():
                return [self._exited(event.code)]
            case Tick():
                return self._tick(now)

    def _live(self, live: bool, now: float) -> list[Command]:
        if self.phase is not Phase.STARTING:
            return []
        if not live:
            return [WakeAt(now + self.timing.live_poll)]
        if not self.names_awaited:
            return self._ready()
        if self._nameless_until is None:
            self._nameless_until = now + self.timing.names
        return [WakeAt(self._nameless_until)]

    def _named(self) -> list[Command]:
        self.names_awaited = False
        return self._ready() if self.phase is Phase.STARTING and self._nameless_until is not None else []

    def _ready(self) -> list[Command]:
        self.phase = Phase.READY
        return [SetReadiness(Readiness.READY)]

    def _stop(self, now: float) -> list[Command]:
        match self.phase:
            case Phase.STARTING:
                # Nobody was served yet, so there is nobody to wait for.
                return [SetReadiness(Readiness.TERMINATING), *self._terminate(now)]
            case Phase.READY:
                return self._drain(now)
            case Phase.DRAINING:
                return self._terminate(now)
            case Phase.STOPPING:
                return self._kill(_IMPATIENT)
            case Phase.KILLED:
                return []

    def _drain(self, now: float) -> list[Command]:
        self.phase = Phase.DRAINING
        self._drain_from = now
        self._deadline = now + self.timing.drain
        # Leaving makes the control plane tell the peers, so that they are gone before listeners close.
        self._steps.extend((Step.FAIL_HEALTHCHECK, Step.LEAVE_CONTROL_PLANE, Step.DRAIN_LISTENERS))
        return [SetReadiness(Readiness.TERMINATING), WakeAt(self._deadline), self._perform_next()]

    def _perform_next(self) -> Command:
        step = self._steps.popleft()
        self._left = self._left or step is Step.LEAVE_CONTROL_PLANE
        return Perform(step)

    def _next_step(self, done: Step, now: float) -> list[Command]:
        if self.phase is not Phase.DRAINING or done is Step.DRAIN_INBOUND:
            return []
        if self._steps:
            return [self._perform_next()]
        return self._await_idle(now)

    def _await_idle(self, now: float) -> list[Command]:
        earliest = self._drain_from + min(self.timing.min_drain, self.timing.drain)
        return [CountConnections()] if now >= earliest else [WakeAt(earliest)]

    def _counted(self, count: int | None, now: float) -> list[Command]:
        if self.phase is not Phase.DRAINING:
            return []
        if count == 0:
            return self._terminate(now)
        return [WakeAt(now + self.timing.drain_poll)]

    def _refused(self, reason: str, now: float) -> list[Command]:
        if self.phase is not Phase.STARTING:
            return []
        self._exit = Exit(1, reason)
        return [SetReadiness(Readiness.TERMINATING), *self._terminate(now)]

    def _terminate(self, now: float) -> list[Command]:
        self.phase = Phase.STOPPING
        self._deadline = now + self.timing.grace
        leave = [] if self._left else [Perform(Step.LEAVE_CONTROL_PLANE)]
        self._left = True
        return [*leave, SignalEnvoy(signal.SIGTERM), WakeAt(self._deadline)]

    def _kill(self, exit_: Exit) -> list[Command]:
        self.phase = Phase.KILLED
        self._exit = exit_
        return [SignalEnvoy(signal.SIGKILL)]

    def _tick(self, now: float) -> list[Command]:
        match self.phase:
            case Phase.STARTING if self._nameless_until is not None:
                return [TellNameless(), *self._ready()] if now >= self._nameless_until else []
            case Phase.STARTING:
                return [AskLive()] if self._configured else []
            case Phase.DRAINING if now >= self._deadline:
                return self._terminate(now)
            case Phase.DRAINING if not self._steps:
                return self._await_idle(now)
            case Phase.STOPPING if now >= self._deadline:
                return self._kill(self._exit)
            case _:
                return []

    def _exited(self, code: int) -> Exit:
        if self.phase in (Phase.STOPPING, Phase.KILLED):
            return self._exit
        if code == 0:
            return Exit(0)
        how = f"was killed by {_signal_name(-code)}" if code < 0 else f"ended with exit code {code}"
        when = " before it was ready" if self.phase is Phase.STARTING else ""
        return Exit(shell_code(code), f"Envoy {how}{when}; its own last log lines say why")


def shell_code(code: int) -> int:
    """As a shell reports it: 128 + n for signal n."""
    return 128 - code if code < 0 else code


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
