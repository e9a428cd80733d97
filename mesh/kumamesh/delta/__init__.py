"""Delta xDS, the server's side of one stream, without any input or output (DESIGN.md 3.3, 3.5)."""

from kumamesh.delta.messages import (
    WILDCARD,
    Ack,
    Counters,
    DeltaRequest,
    DeltaResponse,
    Dialect,
    Nack,
    Verdict,
)
from kumamesh.delta.session import DeltaSession

__all__ = [
    "WILDCARD",
    "Ack",
    "Counters",
    "DeltaRequest",
    "DeltaResponse",
    "DeltaSession",
    "Dialect",
    "Nack",
    "Verdict",
]
