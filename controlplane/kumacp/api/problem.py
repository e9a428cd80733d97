"""Errors of the REST API in Kuma's shape (contract 9.6)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kumamesh.resource import Violation

ERROR_TYPE = "/std-errors"

BAD_REQUEST = "Bad Request"
UNAUTHENTICATED = "Invalid authentication data"
ACCESS_DENIED = "Access Denied"
METHOD_NOT_ALLOWED = "Method not allowed"
CONFLICT = "Conflict"
UNSUPPORTED_MEDIA_TYPE = "Unsupported Media Type"
TOO_LARGE = "Request Entity Too Large"
TIMEOUT = "Request Timeout"
INTERNAL = "Internal Server Error"
UNAVAILABLE = "Service unavailable"

RETRIEVE = "Could not retrieve a resource"
LIST = "Could not retrieve resources"
PARSE_KRI = "Could not parse KRI"
FORMAT = "Could not format a resource"
RETRIEVE_MESH = "Failed to retrieve Mesh"
PROCESS = "Could not process a resource"
CREATE = "Could not create a resource"
UPDATE = "Could not update a resource"
DELETE = "Could not delete a resource"
ISSUE_TOKEN = "Could not issue a token"  # noqa: S105
NO_SIGNING_KEY = "Signing Key not found"

NOT_FOUND = "Not found"
NOT_VALID = "Resource is not valid"


class Problem(Exception):
    """A request that ends with an error document instead of a result."""

    def __init__(
        self,
        status: int,
        title: str,
        detail: str,
        violations: Sequence[Violation] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(f"{status} {title}: {detail}")
        self.status = status
        self.title = title
        self.detail = detail
        self.violations = tuple(violations)
        self.headers = dict(headers or {})

    def document(self) -> dict[str, Any]:
        """The body: both the current names and those that older clients read (`details`, `causes`)."""
        document: dict[str, Any] = {
            "type": ERROR_TYPE,
            "status": self.status,
            "title": self.title,
            "detail": self.detail,
            "details": self.detail,
        }
        if self.violations:
            pairs = [(violation.field, violation.message) for violation in self.violations]
            document["invalid_parameters"] = [{"field": field, "reason": text} for field, text in pairs]
            document["causes"] = [{"field": field, "message": text} for field, text in pairs]
        return document


def invalid(title: str, violations: Sequence[Violation]) -> Problem:
    """The body of a request breaks rules; all of them are listed."""
    return Problem(400, title, NOT_VALID, violations)


def not_found(title: str, detail: str = NOT_FOUND) -> Problem:
    return Problem(404, title, detail)


def not_allowed(detail: str, allowed: Sequence[str]) -> Problem:
    return Problem(405, METHOD_NOT_ALLOWED, detail, headers={"Allow": ", ".join(allowed)})


def denied(detail: str) -> Problem:
    return Problem(403, ACCESS_DENIED, detail)


def unauthenticated(detail: str) -> Problem:
    return Problem(401, UNAUTHENTICATED, detail, headers={"WWW-Authenticate": "Bearer"})


def body_refused(status: int, detail: str) -> Problem:
    """400, 408 or 413."""
    return Problem(status, _BODY_TITLES[status], detail)


_BODY_TITLES = {400: BAD_REQUEST, 408: TIMEOUT, 413: TOO_LARGE}
