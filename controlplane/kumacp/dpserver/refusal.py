"""Why a stream is refused or ended, in words for the person who runs the proxy."""

from __future__ import annotations

from enum import Enum

from kumamesh.resource import InvalidResource

MAX_MESSAGE_CHARS = 2_000


class Status(Enum):
    """The gRPC status codes in use, by name."""

    INVALID_ARGUMENT = "INVALID_ARGUMENT"
    NOT_FOUND = "NOT_FOUND"
    ALREADY_EXISTS = "ALREADY_EXISTS"
    PERMISSION_DENIED = "PERMISSION_DENIED"
    RESOURCE_EXHAUSTED = "RESOURCE_EXHAUSTED"
    FAILED_PRECONDITION = "FAILED_PRECONDITION"
    CANCELLED = "CANCELLED"
    DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED"
    INTERNAL = "INTERNAL"
    UNAVAILABLE = "UNAVAILABLE"
    UNAUTHENTICATED = "UNAUTHENTICATED"


class Refused(Exception):
    """The stream ends with this status. `fault` classifies refused tokens for the counters: missing,
    malformed, expired, revoked, denied or override; "" when the token is not the reason."""

    def __init__(self, status: Status, message: str, *, fault: str = "") -> None:
        # It goes into a log line and an HTTP/2 trailer, and parts of it come from the client.
        message = "".join(char if char.isprintable() else " " for char in message[:MAX_MESSAGE_CHARS])
        super().__init__(message)
        self.status = status
        self.message = message
        self.fault = fault
        self.proxy = ""
        """Whose stream it is, as far as that is known."""


def invalid_resource(error: InvalidResource) -> Refused:
    return Refused(Status.INVALID_ARGUMENT, f"the proxy's resource is not valid: {error}")


def other_node(authenticated: str, received: str) -> Refused:
    return Refused(
        Status.PERMISSION_DENIED,
        f"authentication failed: stream was authenticated for ID {authenticated}. Received request is for "
        f"node with ID {received}. Node ID cannot be changed after stream is initialized",
    )
