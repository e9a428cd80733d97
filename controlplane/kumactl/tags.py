"""Tags of a data plane as one cell of a table."""

from __future__ import annotations

from collections.abc import Sequence

from kumactl.answer import Item, entries, section


def inbound_tags(dataplane: Item) -> str:
    """`k=v1,v2 k2=v3` over all inbounds and the gateway."""
    return _joined(
        [*entries(dataplane, "networking", "inbound"), section(dataplane, "networking", "gateway")]
    )


def own_tags(service: Item) -> str:
    """The same for what has tags itself."""
    return _joined([service])


def _joined(holders: Sequence[Item]) -> str:
    values: dict[str, set[str]] = {}
    for holder in holders:
        for tag, value in section(holder, "tags").items():
            values.setdefault(tag, set()).add(str(value))
    return " ".join(f"{tag}={','.join(sorted(found))}" for tag, found in sorted(values.items()))
