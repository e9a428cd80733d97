"""Which pages of other sites may read answers (contract 9.1).

Being allowed to read is all that a page gets: it is never taken for a program of this host
(kumacp.api.auth.is_local), and browsers show it no answer that was given because of a certificate.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from urllib.parse import urlsplit

from kumacp.api.exchange import TEXT_TYPE, Answer, Request
from kumamesh.errors import EXIT_USAGE, UserError

_MAX_ORIGIN_CHARS = 512
_REQUESTED = "access-control-request-method"
_HEADERS = "Accept, Authorization, Content-Type, If-Match, If-None-Match"


class Cors:
    """`domains` are regular expressions for whole origins, or for their hosts; raises UserError for a wrong
    one."""

    def __init__(self, domains: Iterable[str]) -> None:
        self._patterns = tuple(_pattern(domain) for domain in domains)

    def preflight(self, request: Request, methods: Sequence[str]) -> Answer | None:
        """The answer to a browser that asks what a page may send; None when this is no such question, or the
        page may not send anything."""
        if request.method != "OPTIONS" or _REQUESTED not in request.headers or not self._allows(request):
            return None
        asked = {"Access-Control-Allow-Methods": ", ".join(methods), "Access-Control-Allow-Headers": _HEADERS}
        return Answer(204, b"", TEXT_TYPE, asked)

    def headers(self, request: Request) -> Mapping[str, str]:
        """What any answer says to the browser."""
        if "origin" not in request.headers:
            return {}
        if not self._allows(request):
            return {"Vary": "Origin"}
        return {
            "Vary": "Origin",
            "Access-Control-Allow-Origin": request.headers["origin"],
            "Access-Control-Expose-Headers": "Access-Control-Allow-Origin, ETag",
        }

    def _allows(self, request: Request) -> bool:
        origin = request.headers.get("origin", "")
        if not origin or len(origin) > _MAX_ORIGIN_CHARS or not origin.isascii() or not origin.isprintable():
            return False
        names = (origin, _host(origin))
        return any(pattern.fullmatch(name) for pattern in self._patterns for name in names if name)


def _pattern(domain: str) -> re.Pattern[str]:
    try:
        return re.compile(domain, re.IGNORECASE)
    except re.error as error:
        raise UserError(
            f"KUMA_API_SERVER_CORS_ALLOWED_DOMAINS: {domain!r} is no regular expression ({error})",
            exit_code=EXIT_USAGE,
        ) from None


def _host(origin: str) -> str:
    try:
        return urlsplit(origin).hostname or ""
    except ValueError:
        return ""
