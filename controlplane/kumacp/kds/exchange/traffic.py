"""What went over the sync streams so far, by type of resource."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class Traffic:
    """Responses, each with any number of resources. `accepted` and `refused` are verdicts of the other side
    on what was `sent`; of what was `received`, this side turned `rejected` down."""

    sent: Counter[str] = field(default_factory=Counter)
    accepted: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    received: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)
