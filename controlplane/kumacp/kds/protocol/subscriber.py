"""The asking side of one KDS stream, without any input or output (contract 8.3)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from kumacp.kds.protocol.messages import Node, Received
from kumamesh.delta import WILDCARD, DeltaRequest

_ALL = (WILDCARD,)
_MOST_ERRORS = 20
_LONGEST_ERROR = 500


class UnexpectedType(ValueError):
    """The other side sends a type that it was not asked for."""

    def __init__(self, type_: str) -> None:
        super().__init__(f"resources of type {type_[:100]!r} were not asked for on this stream")


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as it goes out; `node` is complete in the first requests, and has only its id later."""

    request: DeltaRequest
    node: Node


class Subscriber:
    """Asks for all resources of some types. The first response of a type is all there is; later ones are
    what changed."""

    def __init__(self, types: Sequence[str], node: Node) -> None:
        self._types = tuple(types)
        self._node = node
        self._answered: set[str] = set()

    def begin(self) -> list[Asked]:
        """The first requests, one for each type, in the order of the types."""
        return [Asked(DeltaRequest(type_, subscribe=_ALL), self._node) for type_ in self._types]

    def receive(self, received: Received) -> bool:
        """Whether the response is all there is of its type; raises UnexpectedType."""
        if received.type not in self._types:
            raise UnexpectedType(received.type)
        return received.type not in self._answered

    def verdict(self, received: Received, errors: Sequence[str]) -> Asked:
        """An ACK, or with errors a NACK that names them. What comes after it of the type are changes."""
        self._answered.add(received.type)
        node = Node(self._node.id)
        if not errors:
            return Asked(DeltaRequest(received.type, nonce=received.nonce), node)
        text = _joined(errors)
        return Asked(DeltaRequest(received.type, subscribe=_ALL, nonce=received.nonce, error=text), node)


def _joined(errors: Sequence[str]) -> str:
    """All errors in one text that fits into a message and a log line."""
    shown: Iterable[str] = (error[:_LONGEST_ERROR] for error in errors[:_MOST_ERRORS])
    left = len(errors) - _MOST_ERRORS
    return "; ".join((*shown, f"and {left} more")) if left > 0 else "; ".join(shown)
