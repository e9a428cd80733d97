"""One resource type of a delta session: what the client wants, what it holds, and what it still lacks."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from kumamesh.delta.messages import WILDCARD, Ack, Counters, DeltaRequest, DeltaResponse, Nack, Verdict
from kumamesh.xds import XdsResource

_NOTHING: Mapping[str, XdsResource] = {}
_UNSURE = ""
"""Stands for the version of a resource that the client may or may not hold, after it refused a response."""
_FIRST_PATIENCE_S, _LONGEST_PATIENCE_S = 60.0, 3_600.0
_NAMED_AT_MOST = 20
"""An error text has no room for more; who names so many may have refused others besides."""


@dataclass(frozen=True, slots=True)
class Flight:
    """The one response that waits for its verdict."""

    nonce: str
    sent_at: float
    versions: Mapping[str, str]
    removed: tuple[str, ...]
    changed_at: float | None


@dataclass(frozen=True, slots=True)
class Due:
    """What could be sent now. `answers` are names asked for that do not exist: they are answered as removed
    at once, while `removals` may have to wait for other types."""

    updates: tuple[str, ...]
    removals: tuple[str, ...]
    answers: tuple[str, ...]


class Subscription:
    """State of one type. The source is read when a response is made, so that bursts coalesce.

    A client that `takes_the_rest` refuses some resources of a response and keeps the others. Why it refuses
    one may be over later, so these are offered again at `offer_again_at`.
    """

    __slots__ = (
        "_changed_at",
        "_forced",
        "_known",
        "_names",
        "_patience_s",
        "_pending",
        "_rejected",
        "_source",
        "_suspects",
        "_wildcard",
        "begun_at",
        "counters",
        "flight",
        "must_answer",
        "not_before",
        "offer_again_at",
        "resumed",
        "takes_the_rest",
        "type_url",
    )

    def __init__(
        self,
        type_url: str,
        source: Mapping[str, Mapping[str, XdsResource]],
        initial_versions: Mapping[str, str],
        now: float,
    ) -> None:
        self.type_url = type_url
        self.begun_at = now
        self.resumed = bool(initial_versions)
        self.counters = Counters()
        self.flight: Flight | None = None
        self.not_before = 0.0
        self.takes_the_rest = False
        self.offer_again_at: float | None = None
        self._patience_s = _FIRST_PATIENCE_S
        self._source = source
        self._wildcard = False
        self.must_answer = False
        self._names: set[str] = set()
        self._known = dict(initial_versions)
        self._pending: set[str] = set()
        self._forced: set[str] = set()
        self._rejected: dict[str, str] = {}
        self._suspects: deque[dict[str, str]] = deque()
        self._changed_at: float | None = None

    @property
    def resources(self) -> Mapping[str, XdsResource]:
        return self._source.get(self.type_url, _NOTHING)

    @property
    def size(self) -> int:
        # Names that were asked for and given up again are still to be answered.
        return max(len(self._names), len(self._forced)) + len(self._known)

    @property
    def lacking(self) -> bool:
        """Whether something does not exist that the client asked for by its name."""
        resources = self.resources
        return any(name not in resources for name in self._names)

    def wants(self, name: str) -> bool:
        return self._wildcard or name in self._names

    def start_wildcard(self) -> None:
        """All names are wanted from now on; the client waits for an answer even if there are none."""
        self._wildcard = True
        self.must_answer = True
        self._pending.update(self.resources, self._known)

    def change_interest(self, request: DeltaRequest) -> None:
        for name in request.subscribe:
            if name != WILDCARD:
                self._names.add(name)
                self._forced.add(name)
            elif not self._wildcard:
                self.start_wildcard()
        for name in request.unsubscribe:
            if name == WILDCARD:
                self._stop_wildcard()
            elif name in self._names:
                self._names.discard(name)
                if self._wildcard:
                    # The client must learn whether the wildcard still covers the name.
                    self._forced.add(name)
                else:
                    self._forget(name)

    def touch(self, names: Iterable[str], now: float) -> None:
        """These changed in the source."""
        touched = [name for name in names if self.wants(name)]
        self._pending.update(touched)
        if touched and self._changed_at is None:
            self._changed_at = now

    def force(self, names: Iterable[str]) -> None:
        """Send these again, whatever the client holds, as far as it wants them and they exist."""
        resources = self.resources
        self._forced.update(name for name in names if self.wants(name) and name in resources)

    def due(self) -> Due:
        """What the client lacks; forgets names that turn out to be settled."""
        resources, updates, removals, answers = self.resources, [], [], []
        for name in self._pending | self._forced:
            resource, forced = resources.get(name), name in self._forced
            if resource is None and forced:
                answers.append(name)
            elif resource is None and name in self._known:
                removals.append(name)
            elif resource is not None and (forced or self._is_news(resource)):
                updates.append(name)
            else:
                self._pending.discard(name)
        if not self._pending:
            self._changed_at = None
        if not updates:
            updates = self._next_suspects()
        return Due(tuple(sorted(updates)), tuple(sorted(removals)), tuple(sorted(answers)))

    @property
    def settled(self) -> bool:
        """The client has accepted all of the source that it wants, and holds nothing else."""
        return self.settled_on(lambda _: True)

    def settled_on(self, needed: Callable[[str], bool]) -> bool:
        """`settled`, or it has refused only what is not needed: that is not sent again either."""
        due = self.due()
        refused = any(
            name in self.resources and self.resources[name].version == version and needed(name)
            for name, version in self._rejected.items()
        )
        return self.flight is None and not (due.updates or due.removals or due.answers or refused)

    def send(
        self, updates: tuple[str, ...], removed: tuple[str, ...], nonce: str, now: float
    ) -> DeltaResponse:
        """Make the response and put it in flight."""
        resources = tuple(self.resources[name] for name in updates)
        for resource in resources:
            self._known[resource.name] = resource.version
            self._rejected.pop(resource.name, None)
        for name in removed:
            self._known.pop(name, None)
            self._rejected.pop(name, None)
        self._pending.difference_update(updates, removed)
        self._forced.difference_update(updates, removed)
        versions = {resource.name: resource.version for resource in resources}
        self.flight = Flight(nonce, now, versions, removed, self._changed_at)
        if not self._pending:
            self._changed_at = None
        self.must_answer = False
        self.counters.sent += 1
        return DeltaResponse(self.type_url, nonce, resources, removed)

    def judge(self, nonce: str, error: str | None, now: float, backoff_s: float) -> Verdict | None:
        """The client's verdict on what is in flight; None for a stale nonce."""
        flight = self.flight
        if flight is None or nonce != flight.nonce:
            return None
        self.flight = None
        if error is None:
            self.counters.acked += 1
            if not self._rejected:
                self._patience_s = _FIRST_PATIENCE_S
            return Ack(self.type_url, flight.changed_at)
        self.counters.nacked += 1
        self.not_before = now + backoff_s
        if self.takes_the_rest:
            self._refused_in_part(flight, error, now)
        else:
            self._refused(flight, error)
        return Nack(self.type_url, (*flight.versions, *flight.removed), error)

    def _is_news(self, resource: XdsResource) -> bool:
        version = resource.version
        return self._known.get(resource.name) != version and self._rejected.get(resource.name) != version

    def _refused(self, flight: Flight, error: str) -> None:
        """One bad resource must not take the others of its response with it: several are sent again in
        parts, until the bad one is refused alone; that version is not sent again."""
        versions = {name: version for name, version in flight.versions.items() if name in self._known}
        for name in versions:
            self._known[name] = _UNSURE
        if len(flight.versions) == 1:
            self._rejected.update(versions)
        elif versions:
            self._suspects.extendleft(reversed(_split(versions, error)))
        if flight.versions:
            # Perhaps the removals were not looked at. Refused on their own they would be refused for ever.
            again = [name for name in flight.removed if self.wants(name) and name not in self._known]
            self._known.update(dict.fromkeys(again, _UNSURE))
            self._pending.update(again)

    def _refused_in_part(self, flight: Flight, error: str, now: float) -> None:
        named = [name for name in flight.versions if _names(error, name)]
        if not 0 < len(named) < _NAMED_AT_MOST:
            named = list(flight.versions)
        self._rejected.update({name: flight.versions[name] for name in named if name in self._known})
        if self._rejected:
            self.offer_again_at = now + self._patience_s
            self._patience_s = min(2 * self._patience_s, _LONGEST_PATIENCE_S)

    def offer_again(self, now: float) -> None:
        """Have what was refused sent once more, when it is time."""
        if self.offer_again_at is None or now < self.offer_again_at:
            return
        self.offer_again_at = None
        resources = self.resources
        self._forced.update(name for name in self._rejected if name in resources)

    def _next_suspects(self) -> list[str]:
        resources = self.resources
        while self._suspects:
            group = [
                name
                for name, version in self._suspects[0].items()
                if self._known.get(name) == _UNSURE
                and self._rejected.get(name) != version
                and name in resources
                and resources[name].version == version
            ]
            if group:
                return group
            self._suspects.popleft()
        return []

    def _stop_wildcard(self) -> None:
        self._wildcard = False
        self.must_answer = False
        for name in {*self._known, *self._pending, *self._forced} - self._names:
            self._forget(name)

    def _forget(self, name: str) -> None:
        self._known.pop(name, None)
        self._rejected.pop(name, None)
        self._pending.discard(name)
        self._forced.discard(name)


def _split(versions: dict[str, str], error: str) -> list[dict[str, str]]:
    """Two parts to try apart: what the error text does not name and what it names, or else two halves."""
    named = [name for name in versions if _names(error, name)]
    if not 0 < len(named) < len(versions):
        named = list(versions)[: len(versions) // 2]
    first = {name: version for name, version in versions.items() if name not in named}
    return [first, {name: versions[name] for name in named}]


def _names(error: str, name: str) -> bool:
    return name in error and re.search(rf"(?<![\w.-]){re.escape(name)}(?![\w-]|\.\w)", error) is not None
