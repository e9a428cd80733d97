"""One response in several messages, for gRPC bounds the size of one.

All but the last carry the nonce of the response and their number, such as `12/1`, and the last the nonce
alone: who knows of parts puts them together and acknowledges the last, and so all of it. Who does not
acknowledges each, and only the last of its verdicts counts. It would take the first part of a first response
for all there is, so a first response is divided for those only that announce PARTS in the node
of their requests.
"""

from __future__ import annotations

from dataclasses import replace

from kumacp.kds.protocol.messages import Received
from kumamesh.delta import DeltaResponse
from kumamesh.xds import XdsResource

MAX_PARTS = 32
"""What a receiver holds back at most."""

_MARK = "/"
_ENVELOPE_BYTES = 128
"""Of one resource, besides its name and body; of the message, besides its resources."""


class TooManyParts(ValueError):
    """The other side sends a response without end, or the parts of one do not fit together."""


def split(response: DeltaResponse, limit: int) -> list[DeltaResponse]:
    """The response in messages of at most `limit` bytes each, as far as its resources are smaller."""
    groups: list[list[XdsResource]] = [[]]
    room = limit - _ENVELOPE_BYTES - sum(len(name) + 8 for name in response.removed)
    free = room
    for resource in response.resources:
        size = size_of(resource)
        if size > free and groups[-1]:
            groups.append([])
            free = limit - _ENVELOPE_BYTES
        groups[-1].append(resource)
        free -= size
    last = len(groups) - 1
    return [
        replace(
            response,
            nonce=response.nonce if number == last else f"{response.nonce}{_MARK}{number + 1}",
            resources=tuple(group),
            removed=response.removed if number == 0 else (),
        )
        for number, group in enumerate(groups)
    ]


def size_of(resource: XdsResource) -> int:
    """Bytes of the resource in a message, never less than it has."""
    return len(resource.body) + 2 * len(resource.name) + len(resource.version) + _ENVELOPE_BYTES


class Assembly:
    """Puts the parts that one stream brings together again."""

    def __init__(self) -> None:
        self._parts: dict[str, list[Received]] = {}

    def add(self, received: Received) -> Received | None:
        """The whole response, None while parts of it are to come; raises TooManyParts."""
        nonce, divided, number = received.nonce.partition(_MARK)
        parts = self._parts.setdefault(received.type, [])
        if parts and parts[0].nonce.partition(_MARK)[0] != nonce:
            raise TooManyParts(f"parts of two responses with {received.type} are mixed")
        if not divided:
            del self._parts[received.type]
            return _joined([*parts, received])
        if number != str(len(parts) + 1):
            raise TooManyParts(f"a part of a response with {received.type} is missing")
        if sum(len(each) for each in self._parts.values()) >= MAX_PARTS:
            raise TooManyParts(f"a response with {received.type} has more than {MAX_PARTS} parts")
        parts.append(received)
        return None


def _joined(parts: list[Received]) -> Received:
    return replace(
        parts[-1],
        resources=tuple(item for part in parts for item in part.resources),
        removed=tuple(item for part in parts for item in part.removed),
        invalid=tuple(item for part in parts for item in part.invalid),
        unread=frozenset(key for part in parts for key in part.unread),
        passed_over=tuple(line for part in parts for line in part.passed_over),
    )
