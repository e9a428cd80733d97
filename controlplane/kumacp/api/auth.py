"""Who a caller of the REST API is, and what that user may do (contract 7.5; kuma-cp 5.4)."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass

from kumacp.api.problem import unauthenticated

ADMIN_NAME = "mesh-system:admin"
ADMIN_GROUP = "mesh-system:admin"
AUTHENTICATED_GROUP = "mesh-system:authenticated"
UNAUTHENTICATED_GROUP = "mesh-system:unauthenticated"

_FORWARDING_HEADERS = ("forwarded", "x-forwarded-for", "x-real-ip")
_SAME_SITE = ("", "same-origin", "none")
_DEFAULT_PORTS = {"http": 80, "https": 443}
_ORIGIN = re.compile(
    r"(?P<scheme>https?)://(?:\[(?P<ip>[0-9a-f:.]+)\]|(?P<name>[0-9a-z._-]+))(?::(?P<port>[0-9]{0,5}))?"
)


@dataclass(frozen=True, slots=True)
class User:
    """Whoever makes a request."""

    name: str
    groups: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.name}/{','.join(self.groups)}"

    @property
    def printable(self) -> str:
        """For a line of a log: whoever makes a token can write anything into its name."""
        text = str(self)
        return text if text.isprintable() else ascii(text)


ADMIN = User(ADMIN_NAME, (ADMIN_GROUP, AUTHENTICATED_GROUP))
ANONYMOUS = User("mesh-system:anonymous", (UNAUTHENTICATED_GROUP,))


def authenticated(name: str, groups: tuple[str, ...]) -> User:
    """The user of a genuine token."""
    return User(name, (*groups, AUTHENTICATED_GROUP))


def bearer_token(headers: Mapping[str, str]) -> str | None:
    """The token of the request, None without one; raises Problem 401 when it cannot be a token.

    A token decides before the place the request comes from does: who shows one wants to be that user.
    """
    header = headers.get("authorization")
    if header is None:
        return None
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise unauthenticated("the Authorization header must have the form: Bearer <user token>")
    return token.strip()


def is_local(peer: str, scheme: str, headers: Mapping[str, str]) -> bool:
    """Whether a program of this host sent the request for itself: neither through a proxy nor on behalf of a
    page of another site in a browser. `headers` have lower-case names."""
    if not _is_loopback(peer) or any(name in headers for name in _FORWARDING_HEADERS):
        return False
    host = _origin(f"{scheme}://{headers.get('host', '')}")
    if host is None or not (host[1] == "localhost" or _is_loopback(host[1])):
        return False
    return not for_other_site(scheme, headers)


def for_other_site(scheme: str, headers: Mapping[str, str]) -> bool:
    """Whether a browser sent the request on behalf of a page that does not come from this server."""
    if headers.get("sec-fetch-site", "") not in _SAME_SITE:
        return True
    own = _origin(f"{scheme}://{headers.get('host', '')}")
    return "origin" in headers and (own is None or _origin(headers["origin"]) != own)


def _is_loopback(address: str) -> bool:
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(parsed, "ipv4_mapped", None)
    return (mapped or parsed).is_loopback


def _origin(url: str) -> tuple[str, str, int] | None:
    """(scheme, host, port), with the port that the scheme implies; None for what is more or less."""
    parts = _ORIGIN.fullmatch(url.lower())
    if parts is None:
        return None
    return (
        parts["scheme"],
        parts["ip"] or parts["name"],
        int(parts["port"] or _DEFAULT_PORTS[parts["scheme"]]),
    )
