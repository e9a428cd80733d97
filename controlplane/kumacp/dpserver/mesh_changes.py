"""What a change of a Mesh means to the person who made it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from kumacp.store.api import Change, Operation
from kumamesh.resource import Resource


@dataclass(frozen=True, slots=True)
class MtlsSwitch:
    """mTLS of a mesh is other than before; `details` are backend and mode as they are now."""

    to: Literal["on", "off", "over"]
    details: Mapping[str, str]


def mtls_switch(change: Change) -> MtlsSwitch | None:
    """None when mTLS is what it was, or nobody knows; a Mesh that is new was without it."""
    if change.new is None or (change.old is None and change.operation is not Operation.CREATE):
        return None
    before, after = _mtls(change.old), _mtls(change.new)
    if before == after:
        return None
    if not after:
        return MtlsSwitch("off", {})
    return MtlsSwitch("over" if before else "on", after)


def _mtls(mesh: Resource | None) -> Mapping[str, str]:
    backend = mesh.spec.enabled_backend if mesh else None
    return {"backend": backend.name, "mode": backend.mode} if backend else {}
