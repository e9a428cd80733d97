"""Whether inbounds take traffic, and who says so (contract 3.3, 3.6).

An inbound with a serviceProbe is ready when its proxy has found it so, and not before: what is written into
the resource does not count. Without a probe it is what the resource says until the proxy says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable

from kumamesh.resources.dataplane import Dataplane, Health, Inbound, Networking

Rule = Callable[[Dataplane | None, Dataplane], Dataplane]
"""What to store, from what is stored (None: nothing) and what is given."""


def probed(inbound: Inbound) -> bool:
    """Whether its proxy is to find out if the workload listens."""
    return inbound.service_probe is not None and inbound.service_probe.tcp is not None


def with_readiness(inbound: Inbound, ready: bool) -> Inbound:
    """The inbound with both forms of its state."""
    state = "Ready" if ready else "NotReady"
    return inbound.model_copy(update={"state": state, "health": Health(ready=ready)})


def with_inbounds(dataplane: Dataplane, change: Callable[[Inbound], Inbound]) -> Dataplane:
    """The Dataplane with every inbound changed."""
    networking = dataplane.networking
    inbound = tuple(change(inbound) for inbound in networking.inbound)
    if inbound == networking.inbound:
        return dataplane
    return dataplane.model_copy(update={"networking": networking.model_copy(update={"inbound": inbound})})


def as_written(old: Dataplane | None, new: Dataplane) -> Dataplane:
    """Somebody wrote the resource: probed inbounds that were there keep what was found of them."""
    return _carried_over(old, new, probed)


def as_started(_: Dataplane | None, new: Dataplane) -> Dataplane:
    """A proxy that has just started brings the resource: nothing is known of its inbounds."""
    return _carried_over(None, new, lambda _: False)


def as_returned(old: Dataplane | None, new: Dataplane) -> Dataplane:
    """A proxy that was serving all the time brings its resource again: what was found of it holds. If that
    is lost, it goes on serving until it is found otherwise: traffic must not stop by a lost store."""
    return new if old is None else _carried_over(old, new, lambda _: True)


def as_restarted(stored: Dataplane) -> Dataplane:
    """A proxy has started whose resource is stored: what its last run left behind counts no longer."""

    def again(inbound: Inbound) -> Inbound:
        return inbound if inbound.state == "Ignored" else with_readiness(inbound, not probed(inbound))

    return with_inbounds(stored, again)


def _carried_over(old: Dataplane | None, new: Dataplane, keeps: Callable[[Inbound], bool]) -> Dataplane:
    found = {_place(old.networking, inbound): inbound for inbound in old.networking.inbound} if old else {}

    def state(inbound: Inbound) -> Inbound:
        before = found.get(_place(new.networking, inbound))
        if inbound.state == "Ignored":
            return inbound
        if before is not None and before.state != "Ignored" and keeps(inbound):
            return inbound.model_copy(update={"state": before.state, "health": before.health})
        return with_readiness(inbound, False) if probed(inbound) else inbound

    return with_inbounds(new, state)


def _place(networking: Networking, inbound: Inbound) -> tuple[str, int, str, int]:
    """Where it listens and where its workload is: what was found elsewhere says nothing of it."""
    return (networking.inbound_address(inbound), inbound.port, *networking.workload(inbound))
