"""Secrets of a mesh and of the whole control plane (kuma-cp 2.9)."""

from __future__ import annotations

from kumamesh.resources.base import Base64, Spec


class Secret(Spec):
    data: Base64 = b""


class GlobalSecret(Spec):
    data: Base64 = b""
