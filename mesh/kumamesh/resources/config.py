"""Config: what a control plane keeps for itself, such as the virtual addresses of a mesh (kuma-cp 2.9)."""

from __future__ import annotations

from kumamesh.resources.base import Spec


class Config(Spec):
    config: str = ""
