"""The zones that global knows: which are enabled, what streams they have open, and whose tokens hold."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime

from kumacp.dpserver.auth import Credential, fault
from kumacp.dpserver.clock import Clock
from kumacp.dpserver.refusal import Refused, Status
from kumacp.dpserver.timer_driver import Timer
from kumacp.dpserver.token_watch import TokenWatch
from kumacp.identity.signing_keys import GLOBAL_SECRET, KeyRing
from kumacp.kds.at_global.admission import MAX_ZONES, Caller, check_room, credential_of, no_room_for_zones
from kumacp.kds.at_global.zone_insight import StreamKind
from kumacp.kds.at_global.zone_stream_driver import ZoneStream
from kumacp.kds.exchange.pause_driver import Pause
from kumacp.store.api import Change, Conflict, Operation, Store
from kumacp.store.following_driver import Following
from kumamesh.resource import Resource, ResourceKey
from kumamesh.resources.zone import Zone

log = logging.getLogger(__name__)

ZONE = "Zone"


def zone_key(name: str) -> ResourceKey:
    return ResourceKey(ZONE, "", name)


class Zones:
    """`load`, then `run`. `on_switched` is called with the name of a zone that was enabled or disabled."""

    def __init__(
        self,
        store: Store,
        *,
        tokens_required: bool,
        clock: Clock,
        on_switched: Callable[[str], None],
    ) -> None:
        self._store = store
        self._tokens_required = tokens_required
        self._clock = clock
        self._on_switched = on_switched
        self._known: dict[str, Zone] = {}
        self._pauses: dict[str, Pause] = {}
        self._streams: dict[str, list[ZoneStream]] = {}
        self._stores: dict[str, str] = {}
        self._secrets: dict[ResourceKey, Resource] = {}
        self._keys = KeyRing()
        self._tokens: TokenWatch[ZoneStream] = TokenWatch()
        self._expiry = Timer(self._tokens.next_at, self._end_expired, clock.wall)
        self._following = Following(store, "the zones", read=self._read, take=self._take)

    @property
    def online(self) -> int:
        """Zones with a stream that brings them what global has."""
        return sum(self.newest(name, StreamKind.GLOBAL_TO_ZONE) is not None for name in self._streams)

    @property
    def total(self) -> int:
        return len(self._known)

    @property
    def open_streams(self) -> Mapping[str, int]:
        """By kind."""
        counted = dict.fromkeys((kind.value for kind in StreamKind), 0)
        for stream in self._all():
            counted[stream.kind.value] += 1
        return counted

    def enabled(self, zone: str) -> bool:
        """A zone that is not known yet is not disabled."""
        known = self._known.get(zone)
        return known is None or known.is_enabled

    def pause(self, zone: str) -> Pause:
        """Shared by all streams of the zone; begun while it is disabled."""
        if zone not in self._pauses:
            self._pauses[zone] = Pause()
            self._set_pause(zone)
        return self._pauses[zone]

    def newest(self, zone: str, kind: StreamKind) -> ZoneStream | None:
        """The stream of a kind that the zone opened last."""
        found = (stream for stream in reversed(self._streams.get(zone, ())) if stream.kind is kind)
        return next(found, None)

    def store_is_known(self, zone: str, store_id: str) -> bool:
        """Whether lists from this store of the zone are as complete as those before."""
        return bool(store_id) and self._stores.get(zone) == store_id

    def know_store(self, zone: str, store_id: str) -> None:
        """All lists from this store were taken over."""
        self._stores[zone] = store_id

    def check_caller(self, caller: Caller) -> Credential | None:
        """The token of a zone's control plane, None where none is needed; raises Refused."""
        if not self._tokens_required:
            return None
        return credential_of(caller, self._keys, self._clock.wall())

    def silent(
        self, timeout_s: float, healthy_at: Callable[[str], datetime | None], feature: str
    ) -> list[ZoneStream]:
        """Streams of zones that announced `feature` and have not called themselves healthy for so long."""
        limit = self._clock.wall() - timeout_s
        late = []
        for stream in self._all():
            told = healthy_at(stream.zone)
            last = max(stream.opened_at, told.timestamp() if told else 0.0)
            if feature in stream.caller.features and last < limit:
                late.append(stream)
        return late

    @contextmanager
    def admitted(self, stream: ZoneStream) -> Iterator[None]:
        """Raises Refused when there is no room for the stream, or its token does not hold."""
        present = self._streams.get(stream.zone, [])
        check_room(stream.kind.value, stream.caller, stream.peer, (item.entry for item in present))
        if stream.zone not in self._known and self._crowded(stream.zone):
            raise no_room_for_zones(stream.zone)
        credential = self.check_caller(stream.caller)
        if credential is not None:
            self._tokens.add(stream, credential)
            self._expiry.changed()
        self._streams.setdefault(stream.zone, []).append(stream)
        try:
            yield
        finally:
            self._tokens.remove(stream)
            self._streams[stream.zone].remove(stream)
            if not self._streams[stream.zone]:
                del self._streams[stream.zone]
                self._pauses.pop(stream.zone, None)

    async def register(self, zone: str) -> None:
        """Make the Zone if there is none; raises StoreUnavailable."""
        if zone in self._known:
            return
        try:
            await self._store.create(Resource(zone_key(zone), Zone(enabled=True)))
        except Conflict:
            return
        log.info("a new zone has come: its Zone was created", extra={"zone": zone})

    def end_all(self, refusal: Refused) -> None:
        for stream in list(self._all()):
            stream.end(refusal)

    async def load(self) -> None:
        """Take over what is stored; raises StoreUnavailable."""
        await self._following.begin()

    async def run(self) -> None:
        """Until the store is closed."""
        async with asyncio.TaskGroup() as group:
            expiry = group.create_task(self._expiry.run())
            await self._following.run()
            expiry.cancel()

    async def _read(self) -> None:
        zones = await self._store.list(ZONE)
        secrets = await self._store.list(GLOBAL_SECRET)
        gone = set(self._known).difference(zone.name for zone in zones)
        self._secrets = {secret.key: secret for secret in secrets}
        self._renew_keys()
        for zone in zones:
            self._take_zone(zone.name, zone.spec)
        for name in gone:
            self._take_zone(name, None)

    def _take(self, batch: Sequence[Change]) -> None:
        keys_changed = False
        for change in batch:
            if change.key.type == ZONE:
                self._take_zone(change.key.name, change.new.spec if change.new else None)
            elif change.key.type == GLOBAL_SECRET:
                keys_changed = True
                if change.operation is Operation.DELETE or change.new is None:
                    self._secrets.pop(change.key, None)
                else:
                    self._secrets[change.key] = change.new
        if keys_changed:
            self._renew_keys()

    def _take_zone(self, name: str, spec: Zone | None) -> None:
        before = self.enabled(name)
        if spec is None:
            self._known.pop(name, None)
            self._stores.pop(name, None)
            refusal = Refused(Status.UNAVAILABLE, f'the Zone "{name}" was deleted')
            for stream in list(self._streams.get(name, ())):
                stream.end(refusal)
            return
        self._known[name] = spec
        if self.enabled(name) is not before:
            log.info("the zone was %s", "enabled" if spec.is_enabled else "disabled", extra={"zone": name})
            self._set_pause(name)
            self._on_switched(name)

    def _set_pause(self, zone: str) -> None:
        pause = self._pauses.get(zone)
        if pause is not None and self.enabled(zone):
            pause.end()
        elif pause is not None:
            pause.begin()

    def _renew_keys(self) -> None:
        self._keys = KeyRing(self._secrets.values())
        self._end(self._tokens.review(self._keys, self._clock.wall()))

    async def _end_expired(self) -> None:
        self._end(self._tokens.expired(self._clock.wall()))

    @staticmethod
    def _end(ended: Sequence[tuple[ZoneStream, str]]) -> None:
        for stream, reason in ended:
            text = f"authentication failed: {reason}"
            stream.end(Refused(Status.UNAUTHENTICATED, text, fault=fault(reason)))

    def _crowded(self, zone: str) -> bool:
        coming = set(self._streams) - set(self._known) - {zone}
        return len(self._known) + len(coming) >= MAX_ZONES

    def _all(self) -> Iterator[ZoneStream]:
        for streams in self._streams.values():
            yield from streams
