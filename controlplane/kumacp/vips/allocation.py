"""Addresses for names: what has one keeps it, what is new gets the lowest that nobody had (kuma-cp 4.1).

Clients keep the address of a name for as long as they like, so that one which is given to another name at
once leads them to the wrong service. A name that goes leaves its address behind under its own name: it has
it again when it comes back, and others get it last of all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv4Network

from kumacp.vips.entry import NO_RELEASES, Kind, Released, Releases, VipEntry, VipKey, Vips
from kumacp.vips.names import own_address

HOLD_S = 3600
"""How long an address stays behind for its name."""
MAX_RELEASED = 16_384
"""Names for which addresses are left behind; of more the oldest are forgotten."""


@dataclass(frozen=True, slots=True)
class Allocation:
    """`vips` are the entries with their addresses, `released` what names left behind, `without` those for
    which the range has none left, `healed` one line for each thing that was wrong with what was held."""

    vips: Vips
    released: Releases = field(default_factory=dict)
    without: tuple[VipKey, ...] = ()
    healed: tuple[str, ...] = ()


def allocate(
    wanted: Mapping[VipKey, VipEntry],
    held: Vips,
    cidr: str,
    *,
    released: Releases = NO_RELEASES,
    now: int = 0,
) -> Allocation:
    """Entries of `wanted` that have an address are their own. The rest keep the address that they hold, or
    take up the one that they left behind, or get one in the order of their kinds and names. What others left
    behind is given away, the oldest first, only when nothing else is free. `now`: seconds since 1970."""
    network = IPv4Network(cidr)
    numbers = range(int(network[0]), int(network[-1]) + 1)
    taken = {_number(entry.address) for entry in wanted.values() if entry.address}
    kept, healed = _sort_out(wanted, held, numbers, cidr)
    taken.update(kept.values())
    behind = _left_behind(wanted, held, released, now)
    for key in sorted(behind.keys() & wanted.keys()):
        number = _number(behind.pop(key).address)
        if number in numbers and number not in taken:
            kept[key] = number
            taken.add(number)
    reserved = _reserved(behind, numbers, taken)
    free = _free(numbers, taken, reserved)
    vips: dict[VipKey, VipEntry] = {}
    without = []
    for key in sorted(wanted):
        entry = wanted[key]
        if entry.address:
            vips[key] = entry
        elif (given := kept[key] if key in kept else next(free, None)) is not None:
            vips[key] = _placed(entry, given, held.get(key))
        else:
            without.append(key)
    return Allocation(vips, {key: behind[key] for key in reserved.values()}, tuple(without), tuple(healed))


def _placed(entry: VipEntry, number: int, before: VipEntry | None) -> VipEntry:
    """The same object as before if nothing changed: most of a large mesh is kept and compared once."""
    placed = replace(entry, address=str(IPv4Address(number)))
    return before if before == placed else placed


def _sort_out(
    wanted: Mapping[VipKey, VipEntry], held: Vips, numbers: range, cidr: str
) -> tuple[dict[VipKey, int], list[str]]:
    """Addresses that are kept, and what is wrong with the others."""
    kept: dict[VipKey, int] = {}
    holders: dict[int, VipKey] = {}
    outside = 0
    healed = []
    for key in sorted(key for key in held if key in wanted and not wanted[key].address):
        number = _number(held[key].address)
        if number not in numbers:
            outside += 1
        elif number in holders:
            first = holders[number][1]
            healed.append(f"{first} and {key[1]} both had {held[key].address}; {key[1]} gets another one")
        else:
            kept[key] = number
            holders[number] = key
    if outside:
        healed.append(f"{outside} of the names had addresses outside {cidr} and get new ones")
    return kept, healed


def _left_behind(
    wanted: Mapping[VipKey, VipEntry], held: Vips, released: Releases, now: int
) -> dict[VipKey, Released]:
    """By names that nobody wants, and by those that come back. A clock that was set back keeps nothing for
    longer than from now on."""
    found = {
        key: Released(left.address, min(left.since, now))
        for key, left in released.items()
        if now - left.since < HOLD_S
    }
    for key, entry in held.items():
        if key not in wanted and not (entry.kind is Kind.HOST and own_address(entry.name)):
            found[key] = Released(entry.address, now)
    return found


def _reserved(behind: Releases, numbers: range, taken: set[int]) -> dict[int, VipKey]:
    """The addresses that are kept free for their names, the oldest first."""
    newest = sorted(behind, key=lambda key: (behind[key].since, key))[-MAX_RELEASED:]
    places = ((_number(behind[key].address), key) for key in newest)
    return {number: key for number, key in places if number in numbers and number not in taken}


def _free(numbers: range, taken: set[int], reserved: dict[int, VipKey]) -> Iterator[int]:
    """Addresses that nobody has, the lowest first; then those of `reserved`, which are taken out of it."""
    yield from (number for number in numbers if number not in taken and number not in reserved)
    while reserved:
        number = next(iter(reserved))
        del reserved[number]
        yield number


def _number(address: str) -> int:
    """Of an IPv4 address; what is none is in no range of them."""
    return -1 if ":" in address else int(IPv4Address(address))
