"""A global control plane and zones as plain values, joined by streams that can be cut at any moment.

Everything between store and wire is the product's own; the world only carries bytes, in order within a
stream and in any order between streams, and checks each deletion as it is made.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from itertools import count

from kumacp.kds.at_global.global_intake import GlobalIntake
from kumacp.kds.at_zone.trust import CLUSTER_ID, CONFIG, GlobalTrust
from kumacp.kds.exchange.incoming import Writes
from kumacp.kds.exchange.incoming import from_global as decide_from_global
from kumacp.kds.exchange.offers_driver import EncodedCache, Offers
from kumacp.kds.exchange.outgoing import to_global, to_zone
from kumacp.kds.exchange.withheld import Withheld
from kumacp.kds.protocol import parts
from kumacp.kds.protocol.catalog import from_global, from_zone
from kumacp.kds.protocol.codec import decode_request, decode_response, encode_request, encode_response
from kumacp.kds.protocol.messages import NODE_FEATURES, Node, Received
from kumacp.kds.protocol.subscriber import Asked, Subscriber
from kumamesh.delta import DeltaSession, Dialect
from kumamesh.names import ORIGIN_LABEL
from kumamesh.resource import Resource, ResourceKey
from kumamesh.resources.config import Config

NACK_BACKOFF_S = 5.0
PATIENCE_S = 60.0
SMALL_MESSAGE = 900
"""Bytes; responses with several resources are divided."""

Transform = Callable[[Resource], Resource | None]


class Direction(Enum):
    DOWN = "from global to a zone"
    UP = "from a zone to global"


class Crash(Exception):
    """The process of the receiver died while it wrote."""


@dataclass
class ControlPlane:
    """What survives a restart. `id` is that of its store: another one when the store is lost."""

    name: str
    id: str
    resources: dict[ResourceKey, Resource] = field(default_factory=dict)
    heard_at: dict[ResourceKey, int] = field(default_factory=dict)
    """The moment of the newest message that said that the resource is there."""
    heard_from: dict[ResourceKey, str] = field(default_factory=dict)
    """The store that it was in."""
    remembered: str = ""
    allowed: str = ""

    def of(self, type_: str) -> list[Resource]:
        return [resource for key, resource in self.resources.items() if key.type == type_]


class Stream:
    """One sync stream: the sending side, the asking side, and what is under way between them."""

    def __init__(self, world: World, zone: ControlPlane, direction: Direction) -> None:
        self.zone, self.direction = zone, direction
        ends = (world.top, zone) if direction is Direction.DOWN else (zone, world.top)
        self.sender, self.receiver = ends
        self.transform = world.transform(zone, direction)
        types = from_global() if direction is Direction.DOWN else from_zone()
        self.offers = Offers(self.transform, types, EncodedCache(10**6))
        self.offers.load(self.sender.resources.values())
        self.session = DeltaSession(self.offers.source, Dialect.KDS, nack_backoff_s=NACK_BACKOFF_S)
        self.subscriber = Subscriber(types, Node(zone.name, features=NODE_FEATURES))
        self.assembly = parts.Assembly()
        self.withheld = Withheld()
        self.releases: list[tuple[float, str]] = []
        self.told: set[ResourceKey] = set()
        self.kept: list[tuple[int, Received, bool]] = []
        self.begun_at = world.seconds
        self.is_home = (zone.allowed or zone.remembered) in ("", self.sender.id)
        self.writes_left: int | None = None
        self.alive = True
        self.requests: deque[bytes] = deque()
        self.responses: deque[tuple[int, bytes]] = deque()
        self.trust = GlobalTrust(zone.remembered, zone.allowed)
        self.intake = GlobalIntake(
            zone.name,
            NODE_FEATURES,
            store_known=world.known_stores.get(zone.name) == zone.id,
            on_withheld=lambda type_: self.releases.append((world.seconds + PATIENCE_S, type_)),
            on_complete=lambda: world.known_stores.update({zone.name: zone.id}),
        )
        for asked in self.subscriber.begin():
            self.ask(asked)

    def ask(self, asked: Asked) -> None:
        self.requests.append(encode_request(asked.request, asked.node))

    def touch(self, resources: Iterable[tuple[ResourceKey, Resource | None]], now: float) -> None:
        for type_, names in self.offers._set(resources).items():
            self.session.touch(type_, names, now)

    def count_write(self) -> None:
        if self.writes_left == 0:
            raise Crash
        if self.writes_left is not None:
            self.writes_left -= 1


class World:
    """`moment` counts actions, `seconds` is what clocks show."""

    def __init__(self, zones: int) -> None:
        self._ids = count(1)
        self.moment, self.seconds = 0, 0.0
        self.known_stores: dict[str, str] = {}
        self.disabled: set[str] = set()
        self.streams: dict[tuple[str, Direction], Stream] = {}
        self.present: dict[tuple[str, str], dict[ResourceKey, int]] = {}
        self.zones = [ControlPlane(f"zone-{number}", self._new_id()) for number in range(1, zones + 1)]
        self.top = ControlPlane("global", self._new_id())
        self.lose_memory(self.top)

    def _new_id(self) -> str:
        return f"id-{next(self._ids)}"

    # What happens to control planes.

    def put(self, place: ControlPlane, resource: Resource) -> None:
        old = place.resources.get(resource.key)
        self._store(place, replace(resource, version=old.version + 1 if old else 1))

    def drop(self, place: ControlPlane, key: ResourceKey) -> None:
        if place.resources.pop(key, None) is not None:
            place.heard_at.pop(key, None)
            self._changed(place, [(key, None)])

    def restart(self, place: ControlPlane) -> None:
        for zone, direction in list(self.streams):
            if place.name in (zone, self.top.name):
                self.cut(self.streams[zone, direction])
        if place is self.top:
            self.known_stores.clear()

    def lose_memory(self, place: ControlPlane) -> None:
        self.restart(place)
        place.resources.clear()
        place.heard_at.clear()
        place.id, place.remembered = self._new_id(), ""
        if place is self.top:
            self.disabled.clear()
            key = ResourceKey(CONFIG, "", CLUSTER_ID)
            place.resources[key] = Resource(key, Config(config=place.id), version=1)
        self._note_presence()

    def set_enabled(self, zone: ControlPlane, enabled: bool) -> None:
        (self.disabled.discard if enabled else self.disabled.add)(zone.name)
        self._changed(self.top, list(self.top.resources.items()))

    # What happens to streams.

    def connect(self, zone: ControlPlane, direction: Direction) -> Stream:
        if (zone.name, direction) in self.streams:
            self.cut(self.streams[zone.name, direction])
        stream = self.streams[zone.name, direction] = Stream(self, zone, direction)
        return stream

    def cut(self, stream: Stream) -> None:
        """What was under way is lost."""
        del self.streams[stream.zone.name, stream.direction]
        stream.alive = False
        stream.requests.clear()
        stream.responses.clear()

    def send(self, stream: Stream) -> None:
        """The sending side says what it has to say, unless its zone is disabled."""
        if stream.zone.name in self.disabled or not stream.alive:
            return
        for response in stream.session.poll(self.seconds):
            for part in parts.split(response, SMALL_MESSAGE):
                stream.responses.append((self.moment, encode_response(part, stream.sender.name)))

    def hear_request(self, stream: Stream) -> None:
        if stream.requests:
            request, _ = decode_request(stream.requests.popleft())
            stream.session.on_request(request, self.seconds)

    def hear_response(self, stream: Stream) -> None:
        """The asking side takes one message in. It may die between two writes, and answers nothing then."""
        if stream.zone.name in self.disabled or not stream.responses:
            return
        sent_at, data = stream.responses.popleft()
        received = stream.assembly.add(decode_response(data))
        if received is None:
            return
        stream.kept.append((sent_at, received, stream.subscriber.receive(received)))
        if stream.direction is Direction.DOWN:
            stream.trust.note(received)
            if not stream.trust.trusted:
                return
        kept, stream.kept = stream.kept, []
        try:
            for item in kept:
                self._take(stream, *item)
        except Crash:
            self.restart(stream.receiver)

    def release(self, stream: Stream) -> None:
        """Deletions of an empty first list, when the zone has said nothing else for long enough."""
        for due, type_ in list(stream.releases):
            if due <= self.seconds:
                stream.releases.remove((due, type_))
                self._delete(stream, stream.withheld.take(type_))
                stream.intake.released(type_)

    def converse(self, streams: list[Stream]) -> None:
        """Until all is said that does not wait for time to pass."""
        for _ in range(200):
            for stream in streams:
                while stream.requests:
                    self.hear_request(stream)
                self.send(stream)
                for _ in range(len(stream.responses)):
                    self.hear_response(stream)
            if not any(stream.requests for stream in streams):
                return
        raise AssertionError("they talk without end")

    def _take(self, stream: Stream, sent_at: int, received: Received, full: bool) -> None:
        held = stream.receiver.of(received.type)
        writes = self._decide(stream, received, held, full=full)
        for key in {resource.key for resource in received.resources} | received.unread:
            stream.receiver.heard_at[key] = sent_at
            stream.receiver.heard_from[key] = stream.sender.id
            stream.told.add(key)
        self._write(stream, writes)
        if full:
            stream.withheld.replace(received.type, writes.withheld)
        else:
            named = {resource.key for resource in received.resources} | received.unread
            stream.withheld.confirm(received.type, named)
        self._applied(stream, received, writes, full=full)
        stream.ask(stream.subscriber.verdict(received, [*received.invalid, *writes.refused]))

    def _decide(self, stream: Stream, received: Received, held: list[Resource], *, full: bool) -> Writes:
        if stream.direction is Direction.UP:
            return stream.intake.decide(received, held, full=full)
        known = ResourceKey(CONFIG, "", CLUSTER_ID) in stream.told or received.type == CONFIG
        assert known, "something was taken in before it was known who sent it"
        assert stream.is_home, "something of another global was taken in"
        return decide_from_global(received, held, full=full, zone=stream.zone.name)

    def _applied(self, stream: Stream, received: Received, writes: Writes, *, full: bool) -> None:
        if stream.direction is Direction.UP:
            run(stream.intake.applied(received, writes, full=full))
        elif stream.trust.to_remember is not None:
            stream.zone.remembered = stream.trust.remembered = stream.trust.named

    def _write(self, stream: Stream, writes: Writes) -> None:
        for resource in writes.puts:
            stream.count_write()
            self._store(stream.receiver, replace(resource, version=resource.version + 1))
        for key in writes.deletes:
            stream.count_write()
            self._delete(stream, [key])

    # What must hold of every deletion.

    def _delete(self, stream: Stream, keys: Iterable[ResourceKey]) -> None:
        for key in keys:
            if key not in stream.receiver.resources:
                continue
            heard, since = self._evidence(stream, key)
            assert since is None or since > heard, f"{key} was deleted, and was there all the time"
            if stream.direction is Direction.UP and stream.receiver.heard_from.get(key) != stream.zone.id:
                waited = self.seconds >= stream.begun_at + PATIENCE_S
                told = any(each.type == key.type for each in stream.told)
                assert waited or told, f"{key} was deleted, because the zone lost its memory"
            self.drop(stream.receiver, key)

    def _evidence(self, stream: Stream, key: ResourceKey) -> tuple[int, int | None]:
        """When the receiver last heard of it, and since when the sender has it without a break."""
        known = self.present.get((stream.sender.id, stream.receiver.name), {})
        return stream.receiver.heard_at.get(key, 0), known.get(key)

    # Bookkeeping.

    def transform(self, zone: ControlPlane, direction: Direction) -> Transform:
        if direction is Direction.UP:
            return lambda resource: to_global(resource, zone.name)
        return lambda resource: to_zone(
            resource, zone.name, NODE_FEATURES, lambda name: name not in self.disabled
        )

    def _store(self, place: ControlPlane, resource: Resource) -> None:
        place.resources[resource.key] = resource
        self._changed(place, [(resource.key, resource)])

    def _changed(self, place: ControlPlane, changes: list[tuple[ResourceKey, Resource | None]]) -> None:
        for stream in self.streams.values():
            if stream.sender is place:
                stream.touch(changes, self.seconds)
        self._note_presence()

    def _note_presence(self) -> None:
        self.moment += 1
        for zone in self.zones:
            self._note(self.top, zone.name, self.told(zone, Direction.DOWN))
            self._note(zone, self.top.name, self.told(zone, Direction.UP))

    def told(self, zone: ControlPlane, direction: Direction) -> Mapping[ResourceKey, Resource]:
        """All that the sender has for the receiver, as the receiver should see it."""
        sender = self.top if direction is Direction.DOWN else zone
        transform = self.transform(zone, direction)
        shown = map(transform, list(sender.resources.values()))
        return {resource.key: resource for resource in shown if resource is not None}

    def _note(self, sender: ControlPlane, receiver: str, told: Mapping[ResourceKey, Resource]) -> None:
        before = self.present.get((sender.id, receiver), {})
        self.present[sender.id, receiver] = {key: before.get(key, self.moment) for key in told}


def run(action: object) -> None:
    """A coroutine that waits for nothing."""
    try:
        action.send(None)  # type: ignore[attr-defined]
    except StopIteration:
        return
    raise AssertionError("it waits for something")


def is_synced(resource: Resource) -> bool:
    return resource.labels.get(ORIGIN_LABEL) == "global"
