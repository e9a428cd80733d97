"""Names of resources in other control planes than their own (contract 8.5)."""

from __future__ import annotations

from collections.abc import Mapping

from kumamesh.names import NAMESPACE_LABEL, ZONE_LABEL

_FNV_OFFSET, _FNV_PRIME, _64_BITS = 0xCBF29CE484222325, 0x100000001B3, 2**64 - 1
_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
"""Without vowels, so that no word comes out, and without digits that look like letters."""
_LONGEST_NAME = 236
"""Leaves room for a hyphen and 16 characters within 253."""


def synced_name(mesh: str, display_name: str, labels: Mapping[str, str]) -> str:
    """The name, unique among all zones; the same on every hop, because of the labels only those of the place
    where the resource was made count."""
    parts = (mesh, display_name, labels.get(ZONE_LABEL, ""), labels.get(NAMESPACE_LABEL, ""))
    digits = f"{_fnv1a64(''.join(parts).encode()):016x}"
    suffix = "".join(_ALPHABET[ord(digit) % len(_ALPHABET)] for digit in digits)
    return f"{display_name[:_LONGEST_NAME]}-{suffix}"


def _fnv1a64(data: bytes) -> int:
    value = _FNV_OFFSET
    for byte in data:
        value = ((value ^ byte) * _FNV_PRIME) & _64_BITS
    return value
