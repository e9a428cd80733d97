"""Paths and queries of the REST API."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote, urlencode

from kumactl.answer import plain
from kumamesh.errors import UserError

Query = Sequence[tuple[str, str]]


def path_of(*segments: str) -> str:
    """A path whose segments may hold any character; raises UserError for those that would lead elsewhere."""
    for segment in segments:
        if segment in ("", ".", "..") or not segment.isprintable():
            raise UserError(f'"{plain(segment)}" is no name of a resource or mesh')
    return "/" + "/".join(quote(segment, safe="") for segment in segments)


def with_query(path: str, query: Query) -> str:
    return f"{path}?{urlencode(query, errors='replace')}" if query else path
