"""Addresses for names: what has one keeps it, what is new gets the lowest that is free (kuma-cp 4.1)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network

from kumacp.vips.entry import VipEntry, VipKey, Vips


@dataclass(frozen=True, slots=True)
class Allocation:
    """`vips` are the entries with their addresses, `without` those for which the range has none left,
    `healed` one line for each thing that was wrong with the addresses that were held."""

    vips: Vips
    without: tuple[VipKey, ...] = ()
    healed: tuple[str, ...] = ()


def allocate(wanted: Mapping[VipKey, VipEntry], held: Vips, cidr: str) -> Allocation:
    """Entries of `wanted` that have an address are their own. The rest keep the address that they hold, or
    get one in the order of their kinds and names. What is held and wanted no more is given away only when
    nothing else is free: clients may still have the name in their caches."""
    network = IPv4Network(cidr)
    numbers = range(int(network[0]), int(network[-1]) + 1)
    own = {_number(entry.address) for entry in wanted.values() if entry.address}
    kept, leaving, healed = _sort_out(wanted, held, numbers, cidr)
    free = _free(numbers, {*kept.values(), *leaving, *own}, leaving - own)
    vips: dict[VipKey, VipEntry] = {}
    without = []
    for key in sorted(wanted):
        entry = wanted[key]
        if entry.address:
            vips[key] = entry
        elif key in kept:
            vips[key] = replace(entry, address=held[key].address)
        elif (number := next(free, None)) is not None:
            vips[key] = replace(entry, address=str(IPv4Address(number)))
        else:
            without.append(key)
    return Allocation(vips, tuple(without), tuple(healed))


def _sort_out(
    wanted: Mapping[VipKey, VipEntry], held: Vips, numbers: range, cidr: str
) -> tuple[dict[VipKey, int], set[int], list[str]]:
    """Addresses that are kept, those that become free, and what is wrong."""
    kept: dict[VipKey, int] = {}
    holders: dict[int, VipKey] = {}
    leaving: set[int] = set()
    outside = 0
    healed = []
    for key in sorted(held):
        number = _number(held[key].address)
        if key not in wanted:
            leaving.add(number)
        elif wanted[key].address:
            continue
        elif number not in numbers:
            outside += 1
        elif number in holders:
            first = holders[number][1]
            healed.append(f"{first} and {key[1]} both had {held[key].address}; {key[1]} gets another one")
        else:
            kept[key] = number
            holders[number] = key
    if outside:
        healed.append(f"{outside} of the names had addresses outside {cidr} and get new ones")
    return kept, {number for number in leaving if number in numbers and number not in holders}, healed


def _number(address: str) -> int:
    """Of an IPv4 address; what is none is in no range of them."""
    return -1 if ":" in address else int(IPv4Address(address))


def _free(numbers: range, taken: set[int], leaving: set[int]) -> Iterator[int]:
    """Addresses that nobody has, the lowest first; then those that become free."""
    yield from (number for number in numbers if number not in taken)
    yield from sorted(leaving)
