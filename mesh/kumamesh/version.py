"""Which build this is, in the words of the version commands (contract 0.1)."""

from __future__ import annotations

from dataclasses import dataclass

PRODUCT = "Kuma"
"""What REST clients check for: kumactl refuses a server that is not this product (contract 9.1)."""

VERSION = "2.13.0"
"""The Kuma release whose wire is spoken; compatibility checks compare major and minor."""


@dataclass(frozen=True, slots=True)
class BuildInfo:
    """The version block of the wire (contract 1.2)."""

    version: str = VERSION
    git_tag: str = "unknown"
    git_commit: str = "unknown"
    build_date: str = "unknown"

    def to_wire(self) -> dict[str, str]:
        return {
            "version": self.version,
            "gitTag": self.git_tag,
            "gitCommit": self.git_commit,
            "buildDate": self.build_date,
        }


BUILD = BuildInfo()


def short() -> str:
    """What `version` prints."""
    return f"{PRODUCT}: {BUILD.version}"


def detailed() -> str:
    """What `version --detailed` prints."""
    return "\n".join(
        (
            f"Product:    {PRODUCT}",
            f"Version:    {BUILD.version}",
            f"Git Tag:    {BUILD.git_tag}",
            f"Git Commit: {BUILD.git_commit}",
            f"Build Date: {BUILD.build_date}",
        )
    )


def compatible(one: str, other: str) -> bool:
    """Whether two versions may meet: same major, at most two minors apart; `unknown` always may."""
    if "unknown" in (one, other):
        return True
    try:
        (major, minor), (other_major, other_minor) = (
            tuple(int(part) for part in text.split(".")[:2]) for text in (one, other)
        )
    except ValueError:
        return True
    return major == other_major and abs(minor - other_minor) <= 2
