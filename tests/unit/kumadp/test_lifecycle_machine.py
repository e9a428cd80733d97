"""From a spawned Envoy to the exit code, with time as data."""

from __future__ import annotations

import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kumadp.lifecycle.exit import Exit
from kumadp.lifecycle.machine import (
    AskLive,
    Command,
    Configured,
    Connections,
    CountConnections,
    DrainSignal,
    EnvoyExited,
    Event,
    Live,
    Machine,
    Named,
    Perform,
    Phase,
    Refused,
    SetReadiness,
    SignalEnvoy,
    Step,
    StepDone,
    StopSignal,
    TellNameless,
    Tick,
    Timing,
    WakeAt,
    shell_code,
)
from kumadp.readiness import Readiness

TIMING = Timing(drain=30.0, min_drain=1.0, grace=5.0, live_poll=0.1, drain_poll=0.5)
TERMINATING = SetReadiness(Readiness.TERMINATING)
TERM, KILL = SignalEnvoy(signal.SIGTERM), SignalEnvoy(signal.SIGKILL)
LEAVE = Perform(Step.LEAVE_CONTROL_PLANE)


def ready() -> Machine:
    machine = Machine(TIMING)
    machine.handle(Configured(), 0.0)
    assert machine.handle(Live(True), 0.0) == [SetReadiness(Readiness.READY)]
    return machine


def draining(machine: Machine, now: float) -> None:
    """Through all steps, to the counting of connections."""
    machine.handle(StopSignal(), now)
    for step in (Step.FAIL_HEALTHCHECK, Step.LEAVE_CONTROL_PLANE, Step.DRAIN_LISTENERS):
        machine.handle(StepDone(step), now)


def test_ready_when_configured_and_live() -> None:
    machine = Machine(TIMING)
    assert machine.handle(Tick(), 0.0) == []
    assert machine.handle(Configured(), 1.0) == [AskLive()]
    assert machine.handle(Live(False), 1.0) == [WakeAt(1.1)]
    assert machine.handle(Tick(), 1.1) == [AskLive()]
    assert machine.handle(Live(True), 1.2) == [SetReadiness(Readiness.READY)]
    assert machine.handle(Live(True), 1.3) == []


def test_ready_waits_for_the_names_and_no_longer() -> None:
    machine = Machine(TIMING, names_awaited=True)
    machine.handle(Configured(), 0.0)
    assert machine.handle(Live(True), 1.0) == [WakeAt(16.0)]
    assert machine.handle(Tick(), 5.0) == []
    assert machine.handle(Named(), 6.0) == [SetReadiness(Readiness.READY)]
    assert machine.handle(Named(), 6.0) == []
    assert machine.handle(Tick(), 16.0) == []


def test_names_that_are_there_first_delay_nothing() -> None:
    machine = Machine(TIMING, names_awaited=True)
    assert machine.handle(Named(), 0.0) == []
    assert machine.handle(Configured(), 0.1) == [AskLive()]
    assert machine.handle(Live(True), 0.2) == [SetReadiness(Readiness.READY)]


def test_names_that_do_not_come_are_told_and_waited_for_no_more() -> None:
    machine = Machine(TIMING, names_awaited=True)
    machine.handle(Configured(), 0.0)
    assert machine.handle(Live(True), 1.0) == [WakeAt(16.0)]
    assert machine.handle(Live(True), 2.0) == [WakeAt(16.0)]
    assert machine.handle(Tick(), 16.0) == [TellNameless(), SetReadiness(Readiness.READY)]
    assert machine.phase is Phase.READY
    assert machine.handle(Named(), 17.0) == []


def test_a_proxy_that_waits_for_its_names_can_be_stopped() -> None:
    machine = Machine(TIMING, names_awaited=True)
    machine.handle(Configured(), 0.0)
    machine.handle(Live(True), 1.0)
    assert machine.handle(StopSignal(), 2.0) == [TERMINATING, LEAVE, TERM, WakeAt(7.0)]
    assert machine.handle(Named(), 3.0) == []
    assert machine.handle(Tick(), 16.0) == [KILL]


def test_names_alone_make_nobody_ready() -> None:
    machine = Machine(TIMING, names_awaited=True)
    machine.handle(Configured(), 0.0)
    assert machine.handle(Live(False), 0.0) == [WakeAt(0.1)]
    assert machine.handle(Named(), 0.0) == []
    assert machine.handle(Tick(), 0.1) == [AskLive()]


def test_the_drain_goes_step_by_step() -> None:
    machine = ready()
    assert machine.handle(StopSignal(), 100.0) == [
        TERMINATING,
        WakeAt(130.0),
        Perform(Step.FAIL_HEALTHCHECK),
    ]
    assert machine.handle(StepDone(Step.FAIL_HEALTHCHECK), 100.1) == [LEAVE]
    assert machine.handle(StepDone(Step.LEAVE_CONTROL_PLANE), 100.2) == [Perform(Step.DRAIN_LISTENERS)]
    assert machine.handle(StepDone(Step.DRAIN_LISTENERS), 100.3) == [WakeAt(101.0)]
    assert machine.handle(Tick(), 101.0) == [CountConnections()]
    assert machine.handle(Connections(2), 101.0) == [WakeAt(101.5)]
    assert machine.handle(Tick(), 101.5) == [CountConnections()]
    assert machine.handle(Connections(None), 101.5) == [WakeAt(102.0)]
    assert machine.handle(Tick(), 102.0) == [CountConnections()]
    assert machine.handle(Connections(0), 102.0) == [TERM, WakeAt(107.0)]
    assert machine.handle(EnvoyExited(0), 102.1) == [Exit(0)]


def test_the_drain_time_bounds_everything() -> None:
    machine = ready()
    machine.handle(StopSignal(), 100.0)
    assert machine.handle(Tick(), 129.9) == []
    assert machine.handle(Tick(), 130.0) == [LEAVE, TERM, WakeAt(135.0)]


def test_a_drain_time_below_the_minimum_wins() -> None:
    machine = ready()
    machine.timing = Timing(drain=0.2, min_drain=1.0)
    draining(machine, 100.0)
    assert machine.handle(Tick(), 100.2) == [TERM, WakeAt(105.2)]


def test_the_second_signal_ends_the_drain_and_the_third_kills() -> None:
    machine = ready()
    machine.handle(StopSignal(), 100.0)
    assert machine.handle(StopSignal(), 101.0) == [LEAVE, TERM, WakeAt(106.0)]
    assert machine.handle(StepDone(Step.FAIL_HEALTHCHECK), 101.0) == []
    assert machine.handle(StopSignal(), 102.0) == [KILL]
    assert machine.handle(StopSignal(), 102.0) == []
    (end,) = machine.handle(EnvoyExited(-9), 102.0)
    assert isinstance(end, Exit)
    assert end.code == 1


def test_an_envoy_that_ignores_sigterm_is_killed() -> None:
    machine = ready()
    draining(machine, 100.0)
    machine.handle(Tick(), 101.0)
    machine.handle(Connections(0), 101.0)
    assert machine.handle(Tick(), 105.9) == []
    assert machine.handle(Tick(), 106.0) == [KILL]
    assert machine.handle(EnvoyExited(-9), 106.0) == [Exit(0)]


def test_nobody_is_drained_before_there_was_anybody() -> None:
    machine = Machine(TIMING)
    assert machine.handle(StopSignal(), 10.0) == [TERMINATING, LEAVE, TERM, WakeAt(15.0)]
    assert machine.handle(EnvoyExited(0), 10.1) == [Exit(0)]


def test_a_refused_proxy_ends_with_the_reason() -> None:
    machine = Machine(TIMING)
    assert machine.handle(Refused("bad token"), 1.0) == [TERMINATING, LEAVE, TERM, WakeAt(6.0)]
    assert machine.handle(EnvoyExited(0), 1.1) == [Exit(1, "bad token")]


def test_a_ready_proxy_survives_a_refusal() -> None:
    assert ready().handle(Refused("revoked"), 1.0) == []


def test_sigusr2_drains_inbound_and_goes_on() -> None:
    machine = ready()
    assert machine.handle(DrainSignal(), 1.0) == [Perform(Step.DRAIN_INBOUND)]
    assert machine.handle(StepDone(Step.DRAIN_INBOUND), 1.1) == []
    assert machine.phase is Phase.READY
    assert Machine(TIMING).handle(DrainSignal(), 0.0) == []


@pytest.mark.parametrize(
    ("code", "exit_code", "text"),
    [
        (0, 0, ""),
        (1, 1, "Envoy ended with exit code 1; "),
        (-11, 139, "Envoy was killed by SIGSEGV; "),
        (-9, 137, "Envoy was killed by SIGKILL; "),
        (-63, 191, "Envoy was killed by signal 63; "),
    ],
)
def test_envoy_s_own_end_is_the_exit_code(code: int, exit_code: int, text: str) -> None:
    (end,) = ready().handle(EnvoyExited(code), 1.0)
    assert isinstance(end, Exit)
    assert end.code == exit_code == shell_code(code)
    assert end.reason.startswith(text)


def test_an_envoy_that_never_came_up_is_told_apart() -> None:
    (end,) = Machine(TIMING).handle(EnvoyExited(1), 1.0)
    assert isinstance(end, Exit)
    assert "before it was ready" in end.reason


def test_a_crash_while_draining_is_not_called_a_clean_stop() -> None:
    machine = ready()
    machine.handle(StopSignal(), 100.0)
    (end,) = machine.handle(EnvoyExited(-11), 100.5)
    assert isinstance(end, Exit)
    assert end.code == 139


EVENTS = st.one_of(
    st.just(StopSignal()),
    st.just(DrainSignal()),
    st.just(Configured()),
    st.just(Named()),
    st.builds(Live, st.booleans()),
    st.builds(StepDone, st.sampled_from(Step)),
    st.builds(Connections, st.none() | st.integers(0, 3)),
    st.just(Refused("no")),
)


@given(st.lists(st.tuples(EVENTS, st.floats(0, 3)), max_size=30), st.booleans())
def test_a_stop_always_comes_to_an_end(history: list[tuple[Event, float]], names_awaited: bool) -> None:
    """Whatever happens before and between: with timers that keep their time, Envoy is killed at the latest
    when drain time and grace are over, and nobody is killed twice."""
    machine, now = Machine(TIMING, names_awaited), 0.0
    wakes: list[float] = []
    sent: list[int] = []

    def feed(event: Event, moment: float) -> None:
        for command in machine.handle(event, moment):
            note(command)

    def note(command: Command) -> None:
        if isinstance(command, WakeAt):
            wakes.append(command.moment)
        if isinstance(command, SignalEnvoy):
            sent.append(command.number)

    def advance(to: float) -> None:
        while wakes and min(wakes) <= to:
            moment = min(wakes)
            wakes.remove(moment)
            feed(Tick(), moment)

    for event, delay in history:
        now += delay
        advance(now)
        feed(event, now)
    now += 0.01
    feed(StopSignal(), now)
    advance(now + TIMING.drain + TIMING.grace + 1.0)
    assert sent in ([signal.SIGTERM, signal.SIGKILL], [signal.SIGTERM])
    assert machine.phase is Phase.KILLED
