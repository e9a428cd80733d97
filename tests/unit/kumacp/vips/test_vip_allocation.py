"""Addresses are stable while a name lives, unique, the same after a restart, and kept for a name that is gone
as long as there are others."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from kumacp.vips.allocation import HOLD_S, Allocation, allocate
from kumacp.vips.entry import Kind, Released, VipEntry, VipKey, VipOutbound, Vips, read, render

CIDR = "240.0.0.0/4"


def entry(key: VipKey, address: str = "") -> VipEntry:
    return VipEntry(*key, address, (VipOutbound(0, (("kuma.io/service", key[1]),), "service"),))


def wanted(*names: str, kind: Kind = Kind.SERVICE) -> dict[VipKey, VipEntry]:
    return {(kind, name): entry((kind, name)) for name in names}


def held(**addresses: str) -> Vips:
    return {(Kind.SERVICE, name): entry((Kind.SERVICE, name), address) for name, address in addresses.items()}


def addresses(allocation: Allocation) -> dict[str, str]:
    return {one.name: one.address for one in allocation.vips.values()}


def test_new_names_get_the_lowest_addresses_by_kind_and_name() -> None:
    names = {**wanted("h.example", kind=Kind.HOST), **wanted("b", "a"), **wanted("0.x", kind=Kind.FQDN)}
    assert addresses(allocate(names, {}, CIDR)) == {
        "a": "240.0.0.0",
        "b": "240.0.0.1",
        "h.example": "240.0.0.2",
        "0.x": "240.0.0.3",
    }


def test_what_holds_an_address_keeps_it_and_gaps_are_filled() -> None:
    found = allocate(wanted("a", "b", "c", "d"), held(c="240.0.0.0", b="240.0.0.2"), CIDR)
    assert addresses(found) == {"a": "240.0.0.1", "b": "240.0.0.2", "c": "240.0.0.0", "d": "240.0.0.3"}
    assert (found.without, found.healed) == ((), ())


def test_an_address_that_becomes_free_goes_to_nobody_else_if_there_are_others() -> None:
    first = allocate(wanted("b"), held(a="240.0.0.0"), CIDR, now=7)
    assert addresses(first) == {"b": "240.0.0.1"}
    assert first.released == {(Kind.SERVICE, "a"): Released("240.0.0.0", 7)}
    second = allocate(wanted("b", "c"), first.vips, CIDR, released=first.released, now=8)
    assert addresses(second) == {"b": "240.0.0.1", "c": "240.0.0.2"}
    assert second.released == first.released


def test_a_name_that_comes_back_has_its_address_again() -> None:
    first = allocate(wanted("b"), held(a="240.0.0.0"), CIDR, now=7)
    again = allocate(wanted("0", "a", "b"), first.vips, CIDR, released=first.released, now=7 + HOLD_S - 1)
    assert addresses(again) == {"0": "240.0.0.2", "a": "240.0.0.0", "b": "240.0.0.1"}
    assert again.released == {}


def test_a_name_comes_back_into_another_range() -> None:
    left = {(Kind.SERVICE, "a"): Released("10.0.0.1", 9), (Kind.SERVICE, "b"): Released("fd00::1", 9)}
    found = allocate(wanted("a", "b"), {}, CIDR, released=left, now=9)
    assert addresses(found) == {"a": "240.0.0.0", "b": "240.0.0.1"}


def test_what_does_not_change_is_the_same_object() -> None:
    first = allocate(wanted("a", "b"), {}, CIDR).vips
    again = allocate(wanted("a", "b", "c"), first, CIDR).vips
    assert all(again[key] is one for key, one in first.items())


def test_what_was_left_behind_is_given_away_last_and_the_oldest_first() -> None:
    left = {
        (Kind.SERVICE, "x"): Released("10.0.0.0", 9),
        (Kind.SERVICE, "y"): Released("10.0.0.2", 8),
        (Kind.SERVICE, "z"): Released("10.0.0.1", 9),
    }
    found = allocate(wanted("a", "b", "c"), {}, "10.0.0.0/30", released=left, now=10)
    assert addresses(found) == {"a": "10.0.0.3", "b": "10.0.0.2", "c": "10.0.0.0"}
    assert found.released == {(Kind.SERVICE, "z"): Released("10.0.0.1", 9)}


def test_nothing_is_kept_for_longer_than_an_hour_also_when_the_clock_is_set_back() -> None:
    left = {(Kind.SERVICE, "x"): Released("240.0.0.0", 1_000_000)}
    assert allocate({}, {}, CIDR, released=left, now=1_000_000 + HOLD_S).released == {}
    earlier = allocate({}, {}, CIDR, released=left, now=500).released
    assert earlier == {(Kind.SERVICE, "x"): Released("240.0.0.0", 500)}
    assert addresses(allocate(wanted("a"), {}, CIDR, released=left, now=2_000_000)) == {"a": "240.0.0.0"}


def test_of_too_many_the_oldest_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kumacp.vips.allocation.MAX_RELEASED", 2)
    left = {(Kind.SERVICE, f"s{number}"): Released(f"240.0.0.{number}", 9 - number) for number in range(4)}
    kept = allocate({}, {}, CIDR, released=left, now=10).released
    assert {name for _, name in kept} == {"s0", "s1"}


def test_what_somebody_has_is_not_kept_for_anybody_else() -> None:
    own = {(Kind.HOST, "240.0.0.7"): entry((Kind.HOST, "240.0.0.7"), "240.0.0.7")}
    left = {
        (Kind.SERVICE, "x"): Released("240.0.0.3", 9),
        (Kind.SERVICE, "y"): Released("240.0.0.7", 9),
        (Kind.SERVICE, "z"): Released("10.0.0.1", 9),
        (Kind.SERVICE, "6"): Released("fd00::1", 9),
        (Kind.SERVICE, "b"): Released("240.0.0.3", 9),
    }
    found = allocate({**own, **wanted("a", "b")}, held(a="240.0.0.3"), CIDR, released=left, now=9)
    assert addresses(found) == {"a": "240.0.0.3", "b": "240.0.0.0", "240.0.0.7": "240.0.0.7"}
    assert found.released == {}
    assert allocate({}, own, CIDR, now=9).released == {}


def test_a_range_that_is_full_leaves_the_last_names_without() -> None:
    full = allocate(wanted("a", "b", "c", "d", "e", "f"), held(f="10.0.0.3"), "10.0.0.0/30")
    assert set(addresses(full)) == {"a", "b", "c", "f"}
    assert full.without == ((Kind.SERVICE, "d"), (Kind.SERVICE, "e"))
    later = allocate(wanted("b", "c", "d", "e", "f"), full.vips, "10.0.0.0/30", released=full.released)
    assert addresses(later) == {
        "b": "10.0.0.1",
        "c": "10.0.0.2",
        "d": "10.0.0.0",
        "f": "10.0.0.3",
    }


def test_another_range_gives_other_addresses_and_tells() -> None:
    found = allocate(wanted("a", "b"), held(a="240.0.0.0", b="10.0.0.9"), "10.0.0.0/24")
    assert addresses(found) == {"a": "10.0.0.0", "b": "10.0.0.9"}
    assert found.healed == ("1 of the names had addresses outside 10.0.0.0/24 and get new ones",)


def test_of_two_names_with_one_address_the_first_keeps_it() -> None:
    found = allocate(wanted("a", "b"), held(b="240.0.0.5", a="240.0.0.5"), CIDR)
    assert addresses(found) == {"a": "240.0.0.5", "b": "240.0.0.0"}
    assert found.healed == ("a and b both had 240.0.0.5; b gets another one",)


def test_what_is_its_own_address_takes_none_and_nobody_gets_it() -> None:
    own = {(Kind.HOST, name): entry((Kind.HOST, name), name) for name in ("240.0.0.0", "fd00::1")}
    found = allocate({**own, **wanted("a")}, held(gone="240.0.0.0"), CIDR)
    assert addresses(found) == {"240.0.0.0": "240.0.0.0", "fd00::1": "fd00::1", "a": "240.0.0.1"}
    assert allocate({**own, **wanted("a")}, {}, CIDR) == found


def test_the_range_may_begin_with_zero() -> None:
    first = allocate(wanted("a"), {}, "0.0.0.0/28")
    assert addresses(allocate(wanted("a", "b"), first.vips, "0.0.0.0/28")) == {"a": "0.0.0.0", "b": "0.0.0.1"}


KEYS = st.tuples(st.sampled_from(Kind), st.sampled_from([f"s{number}" for number in range(12)]))


class Allocator(RuleBasedStateMachine):
    """A small range, names that come and go, several at a time, and a control plane that restarts."""

    @initialize()
    def start(self) -> None:
        self.cidr = "10.1.0.0/29"
        self.now = 0
        self.names: set[VipKey] = set()
        self.found = Allocation({})
        self.kept: dict[VipKey, str] = {}

    def settle(self) -> None:
        before = self.found
        live = {key: one.address for key, one in before.vips.items()}
        self.now += 1
        self.found = allocate(
            {key: entry(key) for key in self.names},
            before.vips,
            self.cidr,
            released=before.released,
            now=self.now,
        )
        self.kept = {key: live[key] for key in live.keys() & self.names}
        behind = {key: left.address for key, left in before.released.items()}
        self.kept |= {key: behind[key] for key in behind.keys() & self.names}
        behind |= {key: live[key] for key in live.keys() - self.names}
        self.check_that_others_get_it_last(set(behind.values()), self.names - live.keys() - behind.keys())

    def check_that_others_get_it_last(self, behind: set[str], new: set[VipKey]) -> None:
        given = {self.found.vips[key].address for key in new & self.found.vips.keys()}
        if given & behind:
            used = {one.address for one in (*self.found.vips.values(), *self.found.released.values())}
            assert used >= {str(address) for address in IPv4Network(self.cidr)}

    @rule(keys=st.sets(KEYS, max_size=4))
    def names_come(self, keys: set[VipKey]) -> None:
        self.names |= keys
        self.settle()

    @rule(keys=st.sets(KEYS, max_size=4))
    def names_go(self, keys: set[VipKey]) -> None:
        self.names -= keys
        self.settle()

    @rule(gone=KEYS, new=KEYS)
    def one_replaces_another(self, gone: VipKey, new: VipKey) -> None:
        self.names = (self.names - {gone}) | {new}
        self.settle()

    @rule()
    def restart(self) -> None:
        stored = read(render(self.found.vips, self.found.released))
        wanted = {key: entry(key) for key in self.names}
        again = allocate(wanted, stored.vips, self.cidr, released=stored.released, now=self.now)
        assert again == self.found

    @rule(cidr=st.sampled_from(["10.1.0.0/29", "10.1.0.0/30", "10.2.0.0/28"]))
    def the_operator_changes_the_range(self, cidr: str) -> None:
        self.cidr = cidr
        self.settle()
        self.found = replace(self.found, healed=())
        inside = IPv4Network(cidr)
        self.kept = {key: at for key, at in self.kept.items() if IPv4Address(at) in inside}

    @invariant()
    def every_name_has_one_address_of_its_own_in_the_range(self) -> None:
        given = [one.address for one in self.found.vips.values()]
        assert len(set(given)) == len(given)
        assert all(IPv4Address(address) in IPv4Network(self.cidr) for address in given)
        assert set(self.found.vips) | set(self.found.without) == self.names
        assert not set(self.found.vips) & set(self.found.without)

    @invariant()
    def nothing_is_kept_that_somebody_has(self) -> None:
        given = {one.address for one in self.found.vips.values()}
        assert not given & {left.address for left in self.found.released.values()}
        assert not self.found.released.keys() & self.names

    @invariant()
    def addresses_are_stable(self) -> None:
        assert {key: self.found.vips[key].address for key in self.kept} == self.kept

    @invariant()
    def nobody_goes_without_while_an_address_is_free(self) -> None:
        room = IPv4Network(self.cidr).num_addresses
        assert len(self.found.vips) == min(room, len(self.names))


TestAllocator = Allocator.TestCase
TestAllocator.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
