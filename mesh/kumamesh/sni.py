"""Server names that carry a mesh destination through a TLS ClientHello (contract 5.5)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from kumamesh.names import SERVICE_TAG

ResourceKind = Literal["ms", "mzms", "mes"]

_FNV_OFFSET = 0xCBF29CE484222325
_FNV_PRIME = 0x100000001B3
_LABEL_LIMIT = 62
MAX_BYTES = 255
"""Longer ones fit neither into TLS nor into Envoy's configuration."""


def tags_sni(tags: Mapping[str, str], mesh: str) -> str:
    """`service{k1=v1,k2=v2}`: every tag but the service, and the mesh, sorted by key."""
    rest = {key: value for key, value in tags.items() if key != SERVICE_TAG}
    rest["mesh"] = mesh
    return f"{tags[SERVICE_TAG]}{{{_joined(rest)}}}"


def fits(server_name: str) -> bool:
    """Whether a ClientHello can carry it."""
    return len(server_name.encode()) <= MAX_BYTES


def parse_tags_sni(sni: str) -> dict[str, str]:
    """The inverse of `tags_sni`; the mesh is under the key `mesh`. A bare name is a service alone."""
    service, brace, rest = sni.partition("{")
    tags = {SERVICE_TAG: service}
    if not brace:
        return tags
    if "{" in rest or not rest.endswith("}"):
        raise ValueError(f"cannot parse tags from sni: {sni}")
    for pair in filter(None, rest[:-1].split(",")):
        key, equals, value = pair.partition("=")
        if not equals:
            raise ValueError(f"cannot parse tags from sni: {sni}")
        tags[key] = value
    return tags


def resource_sni(
    name: str, mesh: str, port: int, kind: ResourceKind, extra: Mapping[str, str] | None = None
) -> str:
    """`a<16 hex>.<name>.<port>.<mesh>.<kind>`; the hash is over the full names, port and kind excluded."""
    digest = fnv1a64(f"{name};{mesh};{_joined(extra or {})}".encode())
    return f"a{digest:016x}.{_shortened(name)}.{port}.{_shortened(mesh)}.{kind}"


def fnv1a64(data: bytes) -> int:
    """FNV-1a, 64 bits."""
    value = _FNV_OFFSET
    for byte in data:
        value = ((value ^ byte) * _FNV_PRIME) & 0xFFFFFFFFFFFFFFFF
    return value


def _joined(tags: Mapping[str, str]) -> str:
    return ",".join(f"{key}={tags[key]}" for key in sorted(tags))


def _shortened(label: str) -> str:
    return label if len(label) <= _LABEL_LIMIT else f"{label[:_LABEL_LIMIT]}x"
