"""What the proxy says of its own state (contract 2.5)."""

from __future__ import annotations

from enum import Enum


class Readiness(Enum):
    """What probes are told: HTTP status and text."""

    NOT_READY = (503, "NOT_READY")
    READY = (200, "READY")
    TERMINATING = (503, "TERMINATING")
