"""Whatever the interleaving, a client that behaves as Envoy does ends with exactly the source, never gets a
listener before its cluster, never loses a cluster that a listener names, never waits for a cold cluster."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from kumamesh.delta import DeltaRequest, DeltaResponse, DeltaSession, Dialect
from kumamesh.xds import CLUSTER, ENDPOINT, LISTENER, SECRET, XdsResource

NAMES = ["a", "b", "c", "d"]
BAD = "bad"


def references(listener: XdsResource) -> set[str]:
    return set(listener.body.decode().split())


@dataclass
class Envoy:
    """Clusters and listeners by wildcard, the rest by name; acknowledges clusters when they are warm."""

    held: dict[str, dict[str, XdsResource]] = field(
        default_factory=lambda: {url: {} for url in (CLUSTER, ENDPOINT, LISTENER, SECRET)}
    )
    refused: set[str] = field(default_factory=set)
    cold: set[str] = field(default_factory=set)
    asked_listeners: bool = False
    cluster_ack: DeltaRequest | None = None
    out: deque[DeltaRequest] = field(default_factory=deque)

    def connect(self) -> None:
        self.out.clear()
        self.cluster_ack, self.asked_listeners = None, False
        self.cold.clear()
        self._ask(CLUSTER)
        if self.held[CLUSTER]:
            self._ask(ENDPOINT, *sorted(self.held[CLUSTER]))
        if self.held[LISTENER]:
            self._ask_listeners()

    def _ask(self, type_url: str, *names: str) -> None:
        known = {item.name: item.version for item in self.held[type_url].values()}
        self.out.append(DeltaRequest(type_url, subscribe=names, initial_versions=known))

    def _ask_listeners(self) -> None:
        self.asked_listeners = True
        self._ask(LISTENER)
        if self.held[LISTENER]:
            self._ask(SECRET, *sorted(self.held[LISTENER]))

    def receive(self, response: DeltaResponse, picky: bool) -> None:
        """`picky` refuses a response with a bad resource as a whole; else the good ones are taken."""
        type_url = response.type_url
        bad = [item.name for item in response.resources if item.version.startswith(BAD)]
        taken = [] if bad and picky else [item for item in response.resources if item.name not in bad]
        removed = () if bad and picky else response.removed
        if type_url == CLUSTER:
            self.refused = (self.refused | set(bad)) - {item.name for item in taken} - set(removed)
        error = None
        if bad:
            error = "refused" if picky else f"Error updating: {', '.join(bad)}: bad"
        verdict = DeltaRequest(type_url, nonce=response.nonce, error=error)
        getattr(self, f"_take_{type_url.rsplit('.', 1)[1].lower()}s")(taken, removed)
        if type_url == CLUSTER:
            self.cluster_ack = verdict
        else:
            self.out.append(verdict)
        self._acknowledge_warm_clusters()

    def _acknowledge_warm_clusters(self) -> None:
        if self.cluster_ack is not None and not self.cold:
            self.out.append(self.cluster_ack)
            self.cluster_ack = None
            if not self.asked_listeners:
                self._ask_listeners()

    def _take_clusters(self, taken: list[XdsResource], removed: tuple[str, ...]) -> None:
        named = set().union(*(references(item) for item in self.held[LISTENER].values()))
        assert not named & set(removed), "a cluster was removed under a listener"
        gone = tuple(name for name in removed if self.held[CLUSTER].pop(name, None))
        for name in gone:
            self.held[ENDPOINT].pop(name, None)
            self.cold.discard(name)
        new = tuple(item.name for item in taken if item.name not in self.held[CLUSTER])
        self.held[CLUSTER].update({item.name: item for item in taken})
        self.cold.update(item.name for item in taken)
        if new or gone:
            self.out.append(DeltaRequest(ENDPOINT, subscribe=new, unsubscribe=gone))

    def _take_clusterloadassignments(self, taken: list[XdsResource], removed: tuple[str, ...]) -> None:
        for item in taken:
            if item.name in self.held[CLUSTER]:
                self.held[ENDPOINT][item.name] = item
                self.cold.discard(item.name)
        for name in removed:
            self.held[ENDPOINT].pop(name, None)
            self.cold.discard(name)

    def _take_listeners(self, taken: list[XdsResource], removed: tuple[str, ...]) -> None:
        for item in taken:
            missing = references(item) - self.held[CLUSTER].keys() - self.refused
            assert not missing, f"listener {item.name} came before {missing}"
        gone = tuple(name for name in removed if self.held[LISTENER].pop(name, None))
        new = tuple(item.name for item in taken if item.name not in self.held[LISTENER])
        self.held[LISTENER].update({item.name: item for item in taken})
        for name in gone:
            self.held[SECRET].pop(name, None)
        if new or gone:
            self.out.append(DeltaRequest(SECRET, subscribe=new, unsubscribe=gone))

    def _take_secrets(self, taken: list[XdsResource], removed: tuple[str, ...]) -> None:
        for item in taken:
            if item.name in self.held[LISTENER]:
                self.held[SECRET][item.name] = item
        for name in removed:
            self.held[SECRET].pop(name, None)


class DeltaMachine(RuleBasedStateMachine):
    """Listeners name clusters, clusters have an assignment of their name, listeners a secret of theirs."""

    def __init__(self) -> None:
        super().__init__()
        self.source: dict[str, dict[str, XdsResource]] = {
            url: {} for url in (CLUSTER, ENDPOINT, LISTENER, SECRET)
        }
        self.now, self.serial = 0.0, 0
        self.envoy = Envoy()
        self.wire: deque[DeltaResponse] = deque()

    @initialize()
    def connect(self) -> None:
        self.session = DeltaSession(self.source, Dialect.ENVOY, nack_backoff_s=5.0)
        self.wire.clear()
        self.envoy.connect()

    def _put(self, type_url: str, name: str, *, bad: bool = False, body: str = "") -> None:
        self.serial += 1
        version = f"{BAD if bad else 'v'}{self.serial}"
        self.source[type_url][name] = XdsResource(type_url, name, version, body.encode())
        self.session.touch(type_url, [name], self.now)

    def _remove(self, type_url: str, name: str) -> None:
        if self.source[type_url].pop(name, None):
            self.session.touch(type_url, [name], self.now)

    @rule(name=st.sampled_from(NAMES), bad=st.booleans())
    def put_cluster(self, name: str, bad: bool) -> None:
        if name not in self.source[ENDPOINT]:
            self._put(ENDPOINT, name)
        self._put(CLUSTER, name, bad=bad)

    @rule(name=st.sampled_from(NAMES))
    def put_endpoints(self, name: str) -> None:
        if name in self.source[CLUSTER]:
            self._put(ENDPOINT, name)

    @rule(name=st.sampled_from(NAMES), instead=st.sampled_from(NAMES))
    def remove_cluster(self, name: str, instead: str) -> None:
        if instead == name or instead not in self.source[CLUSTER]:
            for listener in [*self.source[LISTENER].values()]:
                if name in references(listener):
                    self.remove_listener(listener.name)
        else:
            for listener in [*self.source[LISTENER].values()]:
                if name in references(listener):
                    self._put(LISTENER, listener.name, body=instead)
        self._remove(CLUSTER, name)
        self._remove(ENDPOINT, name)

    @rule(name=st.sampled_from(NAMES), clusters=st.sets(st.sampled_from(NAMES)), bad=st.booleans())
    def put_listener(self, name: str, clusters: set[str], bad: bool) -> None:
        if name not in self.source[SECRET]:
            self._put(SECRET, name)
        existing = clusters & self.source[CLUSTER].keys()
        self._put(LISTENER, name, bad=bad, body=" ".join(sorted(existing)))

    @rule(name=st.sampled_from(NAMES))
    def rotate_secret(self, name: str) -> None:
        if name in self.source[SECRET]:
            self._put(SECRET, name)

    @rule(name=st.sampled_from(NAMES))
    def remove_listener(self, name: str) -> None:
        self._remove(LISTENER, name)
        self._remove(SECRET, name)

    @rule(name=st.sampled_from(NAMES))
    def touch_in_vain(self, name: str) -> None:
        self.session.touch(CLUSTER, [name], self.now)

    @rule(seconds=st.integers(1, 6))
    def wait(self, seconds: int) -> None:
        self.now += seconds

    @rule()
    def reconnect(self) -> None:
        self.connect()

    @rule()
    def server_polls(self) -> None:
        self.wire.extend(self.session.poll(self.now))

    @rule(count=st.integers(1, 4))
    def server_receives(self, count: int) -> None:
        for _ in range(min(count, len(self.envoy.out))):
            self.session.on_request(self.envoy.out.popleft(), self.now)
        self.server_polls()

    @rule(picky=st.booleans())
    def client_receives(self, picky: bool) -> None:
        if self.wire:
            self.envoy.receive(self.wire.popleft(), picky)

    def teardown(self) -> None:
        if not hasattr(self, "session"):
            return
        self._heal()
        for _ in range(200):
            self.server_receives(100)
            moved = bool(self.wire)
            while self.wire:
                self.client_receives(picky=False)
            if moved or self.envoy.out:
                continue
            wake_at = self.session.wake_at()
            if wake_at is None:
                break
            assert wake_at - self.now <= 5.0, "only a refusal or a resumption may delay, never cold clusters"
            self.now = max(self.now, wake_at)
        else:
            raise AssertionError("the client never came to rest")
        assert not self.envoy.cold
        assert self.envoy.held == self.source

    def _heal(self) -> None:
        for type_url in (CLUSTER, LISTENER):
            for item in [*self.source[type_url].values()]:
                if item.version.startswith(BAD):
                    self._put(type_url, item.name, body=item.body.decode())


TestDeltaMachine = DeltaMachine.TestCase
TestDeltaMachine.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
