"""Tokens of connected proxies that stop holding: expired, revoked, or their key gone.

Kuma looks at a token once, when the stream begins. Times are in seconds since the epoch.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

from kumacp.dpserver.auth import Credential, public_keys, verify
from kumacp.identity.signing_keys import KeyRing
from kumamesh.tokens import TokenError

S = TypeVar("S", bound=Hashable)

EXPIRED = "token is expired; generate a new one"
REVOKED = "token is revoked"


class TokenWatch(Generic[S]):
    """The credentials of streams."""

    def __init__(self) -> None:
        self._credentials: dict[S, Credential] = {}

    def add(self, stream: S, credential: Credential) -> None:
        self._credentials[stream] = credential

    def remove(self, stream: S) -> None:
        self._credentials.pop(stream, None)

    def next_at(self) -> float | None:
        """The earliest expiry."""
        times = (item.claims.expires for item in self._credentials.values())
        return min((moment for moment in times if moment is not None), default=None)

    def expired(self, now: float) -> list[tuple[S, str]]:
        """Streams whose token is over, with the reason; they are no longer watched."""
        ended = [
            (stream, EXPIRED)
            for stream, item in self._credentials.items()
            if item.claims.expires is not None and item.claims.expires <= now
        ]
        return self._forget(ended)

    def review(self, keys: KeyRing, now: float) -> list[tuple[S, str]]:
        """Streams whose token no longer holds by these keys and revocations, with the reason.

        Signatures are verified again only where the key behind the kid is another one.
        """
        public: dict[str, dict[str, bytes]] = {}
        ended = []
        for stream, item in self._credentials.items():
            if item.mesh not in public:
                public[item.mesh] = public_keys(keys, item.mesh)
            reason = _fault(item, public[item.mesh], keys, now)
            if reason is not None:
                ended.append((stream, reason))
        return self._forget(ended)

    def _forget(self, ended: list[tuple[S, str]]) -> list[tuple[S, str]]:
        for stream, _ in ended:
            del self._credentials[stream]
        return ended


def _fault(item: Credential, public: dict[str, bytes], keys: KeyRing, now: float) -> str | None:
    revoked = keys.revocations_dataplane(item.mesh) if item.mesh else keys.revocations_zone()
    if item.claims.token_id in revoked:
        return REVOKED
    if public.get(item.kid) == item.key:
        return None
    try:
        verify(item.token, item.kid, item.mesh, keys, now)
    except TokenError as error:
        return str(error)
    return None
