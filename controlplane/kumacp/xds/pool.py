"""Equal outbounds of all Dataplanes as one object each: copies would be most of the memory of a mesh."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace
from weakref import WeakValueDictionary

from kumamesh.resource import Resource
from kumamesh.resources.dataplane import Outbound


class OutboundPool:
    """An outbound is forgotten when no Dataplane has it any more."""

    def __init__(self) -> None:
        self._outbounds: WeakValueDictionary[Hashable, Outbound] = WeakValueDictionary()

    def __len__(self) -> int:
        return len(self._outbounds)

    def share(self, dataplane: Resource) -> Resource:
        """An equal Dataplane made of outbounds that others have too."""
        networking = dataplane.spec.networking
        outbound = tuple(self._shared(outbound) for outbound in networking.outbound)
        networking = networking.model_copy(update={"outbound": outbound})
        return replace(dataplane, spec=dataplane.spec.model_copy(update={"networking": networking}))

    def _shared(self, outbound: Outbound) -> Outbound:
        key = (outbound.address, outbound.port, outbound.tags, outbound.backend_ref)
        return self._outbounds.setdefault(key, outbound)
