"""The agent's own changes to a returned bootstrap."""

from __future__ import annotations

import copy

from bootstrap_samples import SAMPLES  # type: ignore[import-not-found]
