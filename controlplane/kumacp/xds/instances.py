"""Where the services of one mesh listen, current change by change."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from kumacp.xds.facts import At, Offer


class Instances:
    """`services` are those at each address; several Dataplanes may say that they are at one."""

    def __init__(self) -> None:
        self.services: dict[At, frozenset[str]] = {}
        self._counts: dict[At, Counter[str]] = {}
        self._before: dict[At, frozenset[str]] = {}

    def note(self, before: Mapping[str, tuple[Offer, ...]], after: Mapping[str, tuple[Offer, ...]]) -> None:
        """One Dataplane offers something else."""
        if before == after:
            return
        for offers, number in ((before, -1), (after, 1)):
            for service, offered in offers.items():
                for offer in offered:
                    self._count(offer.at, service, number)

    def commit(self) -> frozenset[At]:
        """Addresses at which there are other services than at the last commit."""
        before, self._before = self._before, {}
        return frozenset(at for at, services in before.items() if self.services.get(at, _NONE) != services)

    def _count(self, at: At, service: str, number: int) -> None:
        self._before.setdefault(at, self.services.get(at, _NONE))
        counts = self._counts.setdefault(at, Counter())
        counts[service] += number
        if not counts[service]:
            del counts[service]
        if counts:
            self.services[at] = frozenset(counts)
        else:
            del self._counts[at]
            self.services.pop(at, None)


_NONE: frozenset[str] = frozenset()
