"""The bootstrap of a zone egress: no mesh, no health discovery, legacy names always (contract 2.1, 2.3)."""

from __future__ import annotations

import dataclasses
from typing import Any

from kumadp_bootstrap.params import BootstrapParams
from kumadp_bootstrap.proxy import proxy


def egress(params: BootstrapParams) -> dict[str, Any]:
    return proxy(dataclasses.replace(params, mesh="", unified_names=False), "egress")
