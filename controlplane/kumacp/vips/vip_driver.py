"""Follows the store and keeps the virtual addresses of every mesh in it: one write at a time, made of the
newest state, and none that changes nothing."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime

from kumacp.store.api import Change, Conflict, NotFound, Operation, Store, StoreUnavailable
from kumacp.store.following_driver import Following
from kumacp.vips import facts
from kumacp.vips.desired import offered_elsewhere
from kumacp.vips.facts import MeshFacts
from kumacp.vips.names import VipSettings, config_name, mesh_of
from kumacp.vips.plan import NOTHING, Held, Plan, plan
from kumacp.xds.remote import Ingresses
from kumamesh.resource import Resource, ResourceKey
from kumamesh.resources.config import Config

_CONFIG, _INGRESS = "Config", "ZoneIngress"
_SHOWN = 5
_REST_FACTOR = 5.0
"""How much longer than a write the rest after it is: names that change all the time take 1/6 of a core"""
_RETRY_S, _MAX_RETRY_S = 0.5, 30.0

_log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class _Book:
    """One mesh: what it is made of, the Config as it is stored, and what of it was told already. `writing` is
    the document on its way into the store."""

    facts: MeshFacts
    config: Resource | None = None
    held: Held = NOTHING
    writing: Plan | None = None
    conflicts: Mapping[str, str] = field(default_factory=dict)
    without: int = 0


@dataclass(slots=True)
class VipFigures:
    """What the exporter reads: milliseconds per mesh and change, failures, names without an address and
    names that are wanted more than once, by mesh."""

    generations: int = 0
    generation_ms: float = 0.0
    errors: int = 0
    exhausted: dict[str, float] = field(default_factory=dict)
    conflicts: dict[str, float] = field(default_factory=dict)


class VipDriver:
    """`load`, then `run`. `longest_rest_s` bounds the time between two writes while names keep changing;
    `grace_s`: how long a service that nobody offers any more keeps its names. Services of other zones than
    `zone` have names too."""

    def __init__(
        self,
        store: Store,
        settings: VipSettings,
        *,
        zone: str = "",
        service_vips: bool = True,
        longest_rest_s: float = 0.5,
        grace_s: float = 60.0,
    ) -> None:
        self.figures = VipFigures()
        self._store = store
        self._settings = settings
        self._zone = zone
        self._service_vips = service_vips
        self._longest_rest_s = longest_rest_s
        self._grace_s = grace_s
        self._books: dict[str, _Book] = {}
        self._elsewhere = Ingresses(zone)
        self._due: dict[str, None] = {}
        self._wake = asyncio.Event()
        self._following = Following(store, "the names of all meshes", read=self._read, take=self._take)

    async def load(self) -> None:
        """Take over all that is stored; raises StoreUnavailable."""
        await self._following.begin()

    async def run(self) -> None:
        """Until the store is closed."""
        async with asyncio.TaskGroup() as group:
            writer = group.create_task(self._write_due())
            await self._following.run()
            writer.cancel()

    async def _read(self) -> None:
        types = (*facts.TYPES, _INGRESS, _CONFIG)
        stored = [resource for type_ in types for resource in await self._store.list(type_)]
        before = {mesh: book.facts for mesh, book in self._books.items()}
        for book in self._books.values():
            book.facts = MeshFacts(self._grace_s)
        self._elsewhere = Ingresses(self._zone)
        self._note((resource.key, resource) for resource in stored)
        for mesh, facts_before in before.items():
            self._books[mesh].facts.inherit(facts_before, time.monotonic())
        for mesh in [mesh for mesh, book in self._books.items() if not book.facts.exists]:
            self._forget(mesh)
        self._due.update(dict.fromkeys(self._books))
        self._wake.set()

    def _take(self, batch: Sequence[Change]) -> None:
        self._note((change.key, change.new) for change in batch)
        self._forget_deleted(batch)

    def _note(self, changes: Iterable[tuple[ResourceKey, Resource | None]]) -> None:
        now = time.monotonic()
        for key, resource in changes:
            self._due.update(dict.fromkeys(self._changed(key, resource, now)))
        # Also without a change: something may be leaving now, and its time ends.
        self._wake.set()

    def _changed(self, key: ResourceKey, resource: Resource | None, now: float) -> Iterable[str]:
        """Note one resource; the meshes whose names it may change."""
        if key.type == _INGRESS:
            return self._note_ingress(key, resource, now)
        if key.type == _CONFIG:
            mesh = mesh_of(key.name)
            return [mesh] if mesh is not None and self._note_config(self._book(mesh), resource) else []
        if key.type not in facts.TYPES:
            return []
        mesh = key.name if key.type == "Mesh" else key.mesh
        return [mesh] if self._book(mesh).facts.note(key, resource, now) else []

    def _note_ingress(self, key: ResourceKey, resource: Resource | None, now: float) -> Iterable[str]:
        found = self._elsewhere.note(key.name, resource.spec if resource else None)
        return {
            mesh
            for (mesh, service), many in found.items()
            if (book := self._books.get(mesh))
            and book.facts.offer((key, service), offered_elsewhere(service, many), now)
        }

    def _note_config(self, book: _Book, resource: Resource | None) -> bool:
        """Whether somebody else changed the Config. The addresses of one that is gone are not."""
        before = book.config
        if before is not None and resource is not None and _edition(resource) <= _edition(before):
            return False
        book.config = resource
        if resource is None:
            return before is not None
        if book.writing is not None and resource.spec.config == book.writing.text:
            book.held = book.writing.held
        elif resource.spec.config != book.held.text:
            book.held = Held(resource.spec.config)
            return True
        return False

    def _book(self, mesh: str) -> _Book:
        """One of a mesh that is new begins with what ingresses have said of it."""
        book = self._books.get(mesh)
        if book is None:
            book = self._books[mesh] = _Book(MeshFacts(self._grace_s))
            for name, service, many in self._elsewhere.of_mesh(mesh):
                source = (ResourceKey(_INGRESS, "", name), service)
                book.facts.offer(source, offered_elsewhere(service, many))
        return book

    def _forget_deleted(self, batch: Sequence[Change]) -> None:
        """A Mesh that comes again begins with the first address."""
        for change in batch:
            if change.key.type == "Mesh" and change.operation is Operation.DELETE:
                self._forget(change.key.name)

    def _forget(self, mesh: str) -> None:
        book = self._books.get(mesh)
        if book is not None and not book.facts.exists:
            del self._books[mesh]
            self._due.pop(mesh, None)
            self.figures.exhausted.pop(mesh, None)
            self.figures.conflicts.pop(mesh, None)

    async def _write_due(self) -> None:
        failures = 0
        while True:
            await self._until_due()
            mesh = next(iter(self._due))
            del self._due[mesh]
            started = time.monotonic()
            try:
                await self._settle(mesh)
            except StoreUnavailable as error:
                self._due[mesh] = None
                self.figures.errors += 1
                failures += 1
                rest = min(_RETRY_S * 2.0**failures, _MAX_RETRY_S)
                _log.error("the virtual addresses of %s were not written, trying again: %s", mesh, error)
            else:
                failures = 0
                rest = min((time.monotonic() - started) * _REST_FACTOR, self._longest_rest_s)
            await asyncio.sleep(rest)

    async def _until_due(self) -> None:
        """Until something changed, or something has stayed long enough."""
        while True:
            now = time.monotonic()
            self._due.update((mesh, None) for mesh, book in self._books.items() if book.facts.expire(now))
            if self._due:
                return
            self._wake.clear()
            ends = [end for book in self._books.values() if (end := book.facts.next_expiry) is not None]
            with suppress(TimeoutError):
                async with asyncio.timeout(max(min(ends) - now, 0.0) if ends else None):
                    await self._wake.wait()

    async def _settle(self, mesh: str) -> None:
        """Write what the mesh should have, if it is not what it has."""
        book = self._books.get(mesh)
        if book is None or not book.facts.exists:
            return
        started = time.monotonic()
        known = book.facts
        edition = known.edition
        made = await asyncio.to_thread(
            plan,
            known.snapshot(),
            book.held,
            self._settings,
            service_vips=self._service_vips,
            known=known.expansions,
            now=int(time.time()),
        )
        if edition == known.edition:
            known.expansions = made.expansions
        self._report(mesh, book, made)
        await self._write(mesh, book, made)
        self.figures.generations += 1
        self.figures.generation_ms += (time.monotonic() - started) * 1000.0

    async def _write(self, mesh: str, book: _Book, made: Plan) -> None:
        if made.text == (book.config.spec.config if book.config else "{}"):
            book.held = made.held
            return
        book.writing = made
        try:
            book.config = await self._put(mesh, book.config, made.text)
            book.held = made.held
            _tell(mesh, made)
        except Conflict as error:
            await self._take_up(book, error.key)
            self._due[mesh] = None
        except NotFound as error:
            # Without its Mesh there is nothing to write; a Config that is gone is made again.
            if error.key.type == _CONFIG:
                book.config = None
                self._due[mesh] = None
        finally:
            book.writing = None

    async def _put(self, mesh: str, config: Resource | None, text: str) -> Resource:
        if config is None:
            key = ResourceKey(_CONFIG, "", config_name(mesh))
            return await self._store.create(
                Resource(key, Config(config=text)), owner=ResourceKey("Mesh", "", mesh)
            )
        return await self._store.update(replace(config, spec=Config(config=text)))

    async def _take_up(self, book: _Book, key: ResourceKey) -> None:
        """Somebody else wrote: his addresses are the ones that hold."""
        try:
            self._note_config(book, await self._store.get(key))
        except NotFound:
            book.config = None

    def _report(self, mesh: str, book: _Book, made: Plan) -> None:
        """Each thing once: what was healed, names that are wanted twice, and a range that is full."""
        for line in made.healed[:_SHOWN]:
            _log.warning("virtual addresses of mesh %s: %s", mesh, line)
        fresh = [line for what, line in sorted(made.conflicts.items()) if what not in book.conflicts]
        for line in fresh[:_SHOWN]:
            _log.warning("names of mesh %s: %s", mesh, line)
        if len(fresh) > _SHOWN:
            _log.warning("names of mesh %s: %d more have such conflicts", mesh, len(fresh) - _SHOWN)
        book.conflicts = made.conflicts
        if made.without and not book.without:
            _log.error(
                "mesh %s has %d names more than %s has addresses, the others work; give the control plane a"
                " wider KUMA_DNS_SERVER_CIDR",
                mesh,
                len(made.without),
                self._settings.cidr,
            )
        elif book.without and not made.without:
            _log.info("all names of mesh %s have addresses again", mesh)
        book.without = len(made.without)
        _set(self.figures.exhausted, mesh, book.without)
        _set(self.figures.conflicts, mesh, len(made.conflicts))


def _edition(resource: Resource) -> tuple[datetime, int]:
    """The later a Config was written, the larger, also when it was deleted in between."""
    return resource.creation_time, resource.version


def _tell(mesh: str, made: Plan) -> None:
    shown = [name for _, name in (*made.added, *made.removed)][:_SHOWN]
    _log.info(
        "virtual addresses of a mesh changed",
        extra={
            "mesh": mesh,
            "names": len(made.vips),
            "added": len(made.added),
            "removed": len(made.removed),
            "first": " ".join(shown),
        },
    )


def _set(figures: dict[str, float], mesh: str, number: int) -> None:
    if number:
        figures[mesh] = float(number)
    else:
        figures.pop(mesh, None)
