"""Writes of resources with the rules that need more than the resource itself (kuma-cp 2)."""

from kumacp.manager.resource_manager import PutResult, ResourceManager

__all__ = ["PutResult", "ResourceManager"]
