"""Who may come in, and who must leave again because its token holds no longer (contract 3.2)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from kumacp.dpserver.auth import AuthModes, Credential, authenticate, fault, prove
from kumacp.dpserver.clock import Clock
from kumacp.dpserver.feed_driver import FeedDriver
from kumacp.dpserver.node import ProxyNode
from kumacp.dpserver.refusal import Refused, Status
from kumacp.dpserver.timer_driver import Timer
from kumacp.dpserver.token_watch import TokenWatch
from kumamesh.resource import Resource, ResourceKey


class Gate:
    """One per service. `expel` is called for a proxy whose token expired, was revoked or lost its key."""

    def __init__(
        self,
        feed: FeedDriver,
        modes: AuthModes,
        *,
        zone: str,
        clock: Clock,
        expel: Callable[[ResourceKey, Refused], None],
    ) -> None:
        self._feed = feed
        self._modes = modes
        self._zone = zone
        self._clock = clock
        self._expel = expel
        self._tokens: TokenWatch[ResourceKey] = TokenWatch()
        self._expiry = Timer(self._tokens.next_at, self._end_expired, clock.wall)

    async def run(self) -> None:
        await self._expiry.run()

    def prove(self, node: ProxyNode, tokens: Sequence[str]) -> None:
        """Raises Refused unless the token is genuine, whatever it covers: strangers learn nothing."""
        if self._modes.required(node.proxy_type):
            prove(node, tokens, self._feed.keys, now=self._clock.wall())

    def authenticate(self, node: ProxyNode, resource: Resource, tokens: Sequence[str]) -> Credential | None:
        """None for a proxy that needs no token; raises Refused."""
        if not self._modes.required(node.proxy_type):
            return None
        now = self._clock.wall()
        return authenticate(node, tokens, self._feed.keys, resource, zone=self._zone, now=now)

    def watch(self, proxy: ResourceKey, credential: Credential | None) -> None:
        """From now on, until `forget`."""
        if credential is not None:
            self._tokens.add(proxy, credential)
            self._expiry.changed()

    def forget(self, proxy: ResourceKey) -> None:
        self._tokens.remove(proxy)

    def review(self) -> None:
        """Keys or revocations changed."""
        self._end(self._tokens.review(self._feed.keys, self._clock.wall()))

    async def _end_expired(self) -> None:
        self._end(self._tokens.expired(self._clock.wall()))

    def _end(self, ended: Sequence[tuple[ResourceKey, str]]) -> None:
        for proxy, reason in ended:
            text = f"authentication failed: {reason}"
            self._expel(proxy, Refused(Status.UNAUTHENTICATED, text, fault=fault(reason)))
