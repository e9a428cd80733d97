"""What `envoy --version` says (contract 1.2; kuma-dp 3.4)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from kumamesh.errors import UserError

TESTED = (1, 40, 0)
"""The Envoy that this release is tested with; later patch releases of it are taken to fit too."""

_LINE = re.compile(r"version:\s*(\S+)")
_NUMBERS = re.compile(r"(\d+)\.(\d+)\.(\d+)")


@dataclass(frozen=True, slots=True)
class EnvoyVersion:
    """`build` is the whole `revision/version/status/type/ssl`."""

    version: str
    build: str

    @property
    def compatible(self) -> bool:
        numbers = _NUMBERS.match(self.version)
        if not numbers:
            return False
        found = tuple(int(part) for part in numbers.groups())
        return found[:2] == TESTED[:2] and found[2] >= TESTED[2]

    def to_wire(self) -> dict[str, Any]:
        return {"version": self.version, "build": self.build, "kumaDpCompatible": self.compatible}


def parse_version(output: str, binary: str) -> EnvoyVersion:
    """Raises UserError when a program that is not Envoy answered."""
    line = _LINE.search(output)
    parts = line[1].split("/") if line else []
    if len(parts) != 5:
        raise UserError(f"{binary} is not an Envoy: its --version says nothing that an Envoy says")
    return EnvoyVersion(parts[1], "/".join(parts))


def version_warning(version: EnvoyVersion) -> str:
    """A line for the log, or "" when the version is the tested one."""
    if version.compatible:
        return ""
    tested = ".".join(str(number) for number in TESTED)
    return f"Envoy {version.version} is not the version this release is tested with ({tested})"
