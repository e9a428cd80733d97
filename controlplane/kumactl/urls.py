"""Paths and queries of the REST API."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote, urlencode

Query = Sequence[tuple[str, str]]


def path_of(*segments: str) -> str:
    """A path whose segments may hold any character."""
    return "/" + "/".join(quote(segment, safe="") for segment in segments)


def with_query(path: str, query: Query) -> str:
    return f"{path}?{urlencode(query)}" if query else path
