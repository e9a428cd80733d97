"""All types of one delta stream: order of pushes, nonces, and when to look again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from kumamesh.delta.messages import Counters, DeltaRequest, DeltaResponse, Dialect, Nack, Verdict
from kumamesh.delta.subscription import Subscription
from kumamesh.xds import CLUSTER, ENDPOINT, LISTENER, REMOVAL_ORDER, ROUTE, UPDATE_ORDER, XdsResource

WARMING_LIMIT_S = 15.0
"""Envoy acknowledges clusters when they are warm, and gives up on a missing assignment or secret after this
time. So listeners wait for the clusters' ACK, but no longer."""

RESUMPTION_S = 2.0
"""A client that comes back with clusters soon asks for its listeners too; so long its clusters stay."""

_REFER_TO_CLUSTERS = (LISTENER, ROUTE)


class DeltaSession:
    """The server's side of one delta xDS stream.

    `source` is live: type URL -> name -> resource. Whoever changes it calls `touch`; then, and after each
    request and at `wake_at()`, `poll` gives what is to be sent. At most one response per type is in flight.
    """

    def __init__(
        self,
        source: Mapping[str, Mapping[str, XdsResource]],
        dialect: Dialect,
        *,
        nack_backoff_s: float,
    ) -> None:
        self._source = source
        self._dialect = dialect
        self._nack_backoff_s = nack_backoff_s
        self._subscriptions: dict[str, Subscription] = {}
        self._nonce = 0
        self._wake_at: float | None = None
        self.last_nack: Nack | None = None

    @property
    def counters(self) -> Mapping[str, Counters]:
        """Per type that was asked for."""
        return {type_url: item.counters for type_url, item in self._subscriptions.items()}

    @property
    def size(self) -> int:
        """Names that the client asked for or holds: what its requests made this session remember."""
        return sum(item.size for item in self._subscriptions.values())

    def settled(self, type_url: str, needed: Callable[[str], bool] = lambda _: True) -> bool:
        """Whether the client has asked for all there is of the type and accepted it, or there is nothing; it
        may have refused what is not `needed`. What it has yet to ask for counts: Envoy may ask for its
        certificate and for the CA one by one."""
        present = self._source.get(type_url, {})
        subscription = self._subscriptions.get(type_url)
        if subscription is None or not subscription.counters.acked:
            return not present
        return subscription.settled_on(needed) and all(subscription.wants(name) for name in present)

    @property
    def satisfied(self) -> bool:
        """Whether the client has accepted, or refused, all that it has asked for by now, and that exists."""
        return all(item.settled_on(_nothing) and not item.lacking for item in self._subscriptions.values())

    def wake_at(self) -> float | None:
        """When `poll` can give something although nothing happens; as of the last poll."""
        return self._wake_at

    def on_request(self, request: DeltaRequest, now: float) -> Verdict | None:
        """Take in a request; the verdict is None when it carries none, or one on something not in flight.
        What it subscribes to counts even if its nonce is stale."""
        subscription = self._subscriptions.get(request.type_url)
        if subscription is None:
            subscription = self._begin(request, now)
        subscription.change_interest(request)
        verdict = subscription.judge(request.nonce, request.error, now, self._nack_backoff_s)
        if isinstance(verdict, Nack):
            self.last_nack = verdict
        return verdict

    def touch(self, type_url: str, names: Iterable[str], now: float) -> None:
        """Resources of the source changed, appeared or went."""
        subscription = self._subscriptions.get(type_url)
        if subscription is not None:
            subscription.touch(names, now)

    def poll(self, now: float) -> list[DeltaResponse]:
        """What must be sent now, in this order."""
        self._wake_at = None
        responses = []
        for subscription in self._in_update_order():
            subscription.offer_again(now)
            response = self._respond(subscription, now)
            if response is not None:
                responses.append(response)
                if response.type_url == CLUSTER:
                    self._repeat_assignments(response)
            if subscription.offer_again_at is not None:
                self._wake_by(subscription.offer_again_at)
        return responses

    def _begin(self, request: DeltaRequest, now: float) -> Subscription:
        kds = self._dialect is Dialect.KDS
        initial_versions = {} if kds else request.initial_versions
        subscription = Subscription(request.type_url, self._source, initial_versions, now)
        self._subscriptions[request.type_url] = subscription
        subscription.must_answer = subscription.takes_the_rest = kds
        if not request.subscribe and (kds or request.type_url in (CLUSTER, LISTENER)):
            subscription.start_wildcard()
        return subscription

    def _respond(self, subscription: Subscription, now: float) -> DeltaResponse | None:
        if subscription.flight is not None:
            return None
        due = subscription.due()
        removed = due.answers
        if due.removals and self._may_remove(subscription, now):
            removed = tuple(sorted((*due.answers, *due.removals)))
        if not (due.updates or removed or subscription.must_answer):
            return None
        if now < subscription.not_before:
            self._wake_by(subscription.not_before)
            return None
        if not self._clusters_ready(subscription, now):
            return None
        self._nonce += 1
        return subscription.send(due.updates, removed, str(self._nonce), now)

    def _clusters_ready(self, subscription: Subscription, now: float) -> bool:
        """Whether the clusters that this type's resources may name have reached the client and are warm."""
        clusters = self._subscriptions.get(CLUSTER)
        if subscription.type_url not in _REFER_TO_CLUSTERS or clusters is None:
            return True
        if clusters.due().updates:
            return False
        if clusters.flight is None or not clusters.flight.versions:
            return True
        patience_ends = clusters.flight.sent_at + WARMING_LIMIT_S
        if now < patience_ends:
            self._wake_by(patience_ends)
        return now >= patience_ends

    def _may_remove(self, subscription: Subscription, now: float) -> bool:
        """Whether nothing the client holds can still refer to what is to be removed."""
        if subscription.type_url not in REMOVAL_ORDER:
            return True
        before = REMOVAL_ORDER[: REMOVAL_ORDER.index(subscription.type_url)]
        if LISTENER in before and LISTENER not in self._subscriptions and subscription.resumed:
            patience_ends = subscription.begun_at + RESUMPTION_S
            if now < patience_ends:
                self._wake_by(patience_ends)
                return False
        return all(
            self._subscriptions[type_url].settled for type_url in before if type_url in self._subscriptions
        )

    def _repeat_assignments(self, clusters: DeltaResponse) -> None:
        """A changed EDS cluster that is not followed by its assignment warms for 15 s (DESIGN.md 3.5)."""
        assignments = self._subscriptions.get(ENDPOINT)
        if assignments is not None:
            assignments.force(resource.name for resource in clusters.resources)

    def _in_update_order(self) -> list[Subscription]:
        known = [self._subscriptions[url] for url in UPDATE_ORDER if url in self._subscriptions]
        return known + [item for url, item in self._subscriptions.items() if url not in UPDATE_ORDER]

    def _wake_by(self, moment: float) -> None:
        self._wake_at = moment if self._wake_at is None else min(self._wake_at, moment)


def _nothing(_name: str) -> bool:
    return False
