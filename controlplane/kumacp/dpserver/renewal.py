"""When a workload certificate is made, made again, and tried again. Times are in seconds since the epoch, by
a clock that somebody may set."""

from __future__ import annotations

from dataclasses import dataclass, replace

from kumacp.identity.ca import Identity, renew_at
from kumacp.xds.model import IdentityRequest

FIRST_RETRY_S = 5.0
LAST_RETRY_S = 300.0
SHORTEST_LIFE_S = 1.0
"""Certificates are not renewed more often, however short the Mesh wants them to live."""

_NOW = float("-inf")


def retry_pause(failures: int) -> float:
    """Seconds until the next attempt, after this many failures before the last one."""
    return min(FIRST_RETRY_S * 2.0 ** min(failures, 16), LAST_RETRY_S)


@dataclass(frozen=True, slots=True)
class Order:
    """A certificate to make at `moment`. `failures` counts attempts that failed in a row; `held_from` is when
    the certificate that the proxy has begins to hold, None before its first."""

    request: IdentityRequest
    moment: float = _NOW
    failures: int = 0
    held_from: float | None = None

    @property
    def renewal(self) -> bool:
        return self.held_from is not None

    def due(self, now: float) -> bool:
        """Also when the clock was set back: to a time at which the present certificate does not hold yet, or
        from which the next attempt would be ages away."""
        if self.moment <= now:
            return True
        if self.failures:
            return self.moment - now > LAST_RETRY_S
        return self.held_from is not None and now < self.held_from

    def at_once(self) -> Order:
        return replace(self, moment=_NOW)

    def failed(self, now: float) -> Order:
        return replace(self, moment=now + retry_pause(self.failures), failures=self.failures + 1)

    def made(self, identity: Identity, now: float) -> Order:
        """The next one, of the same request."""
        moment = max(renew_at(identity).timestamp(), now + SHORTEST_LIFE_S)
        return Order(self.request, moment, held_from=identity.not_before.timestamp())
