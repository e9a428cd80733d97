"""Requests that name the version of a resource that they are about (RFC 9110, 13.1)."""

from __future__ import annotations

import re
from collections.abc import Mapping

from kumacp.api.exchange import Answer, Request
from kumacp.api.problem import BAD_REQUEST, Problem
from kumamesh.resource import Resource

_MAX_CHARS = 1024
_TAG = re.compile(r'"[1-9][0-9]{0,17}-[0-9a-f]{1,16}"')


def etag(resource: Resource) -> str:
    """The version of a stored resource, and when it was created: versions begin anew with a resource that is
    deleted and created again."""
    return f'"{resource.version}-{int(resource.creation_time.timestamp() * 1e6):x}"'


def etag_headers(resource: Resource) -> Mapping[str, str]:
    return {"ETag": etag(resource)}


def parse_if_match(condition: str) -> frozenset[str] | None:
    """The tags that an `If-Match` header names, None for `*`; raises Problem 400."""
    if condition.strip() == "*":
        return None
    tags = [tag.strip() for tag in condition.split(",")]
    if len(condition) > _MAX_CHARS or not all(_TAG.fullmatch(tag) for tag in tags):
        raise Problem(
            400, BAD_REQUEST, "If-Match must be * or the ETag of a resource, as GET gives it, with its quotes"
        )
    return frozenset(tags)


def unchanged(resource: Resource, request: Request) -> Answer | None:
    """The answer to somebody who has this version already, None when it must be sent."""
    condition = request.headers.get("if-none-match")
    if condition is None:
        return None
    tags = {tag.strip().removeprefix("W/") for tag in condition.split(",")}
    return Answer(304, headers=etag_headers(resource)) if tags & {"*", etag(resource)} else None
