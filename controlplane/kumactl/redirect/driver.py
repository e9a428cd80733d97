"""Installs and removes the redirection, or tells what it would do; a failure leaves the host as it was."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from kumactl.redirect import host_disk, lock_disk, loopback_driver
from kumactl.redirect.choice import AUTO, NO_CAPABILITY, choose, leaves_alone, refuse_impossible
from kumactl.redirect.program_process import ProgramError
from kumactl.redirect.tables_process import State, Tables, Wanted, candidate, installed
from kumamesh.errors import UserError
from kumamesh.transparent_proxy.config import Config, executables
from kumamesh.transparent_proxy.rules import DNS_PORT, PASSTHROUGH, Host, build

Say = Callable[[str], None]
_PASSTHROUGH_6 = PASSTHROUGH[6].network_address
_SIDECAR = str(_PASSTHROUGH_6)
_NAMES = {4: "IPv4", 6: "IPv6"}

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Outcome:
    """`texts`: what was given, or would be, to which command, in order; `families`, IPv4 or IPv6 or both, by
    the backend in which there was something to do."""

    texts: Mapping[str, str]
    families: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Plan:
    """What which tables shall have, in order, and whether the sidecar's address comes or goes."""

    states: Mapping[str, State]
    steps: Sequence[tuple[Tables, Wanted]]
    adds_address: bool = False
    removes_address: bool = False

    # Wherever it is broken off, the address is there only where rules are, by which it is found again.

    def texts(self) -> dict[str, str]:
        texts = {f"ip -6 address delete {_SIDECAR}/128 dev lo": ""} if self.removes_address else {}
        for place, (tables, wanted) in enumerate(self.steps):
            texts |= tables.texts(self.states[tables.name], wanted)
            if self.adds_address and place == 0:
                texts[f"ip -6 address add {_SIDECAR}/128 dev lo nodad"] = ""
        return texts

    def carry_out(self) -> None:
        """All of it, or nothing and ProgramError or UserError."""
        with contextlib.ExitStack() as undo:
            if self.removes_address:
                loopback_driver.remove(_SIDECAR)
                undo.callback(loopback_driver.add, _SIDECAR)
            for place, (tables, wanted) in enumerate(self.steps):
                tables.change(self.states[tables.name], wanted)
                undo.callback(tables.put_back, self.states[tables.name])
                if self.adds_address and place == 0:
                    loopback_driver.add(_SIDECAR)
                    undo.callback(loopback_driver.remove, _SIDECAR)
            undo.pop_all()


def install(config: Config, *, backend: str, warn: Say) -> Outcome:
    """Bring the host to what the settings say, whatever of ours was there; raises UserError."""
    refuse_impossible(config)
    host = _host(config, warn)
    found = installed(executables(config), ipv6=host_disk.knows_ipv6(), wait_s=config.wait)
    families = _families(config, warn)
    return _attempts(
        config,
        lambda: _install_once(config, found, warn, backend=backend, host=host, families=families),
        remedy="; --backend chooses another program",
    )


def uninstall(config: Config, *, warn: Say) -> Outcome:
    """Take away whatever of ours there is; raises UserError."""
    found = installed({}, ipv6=host_disk.knows_ipv6(), wait_s=config.wait)
    return _attempts(config, lambda: _uninstall_once(config, found, warn))


def _install_once(
    config: Config, found: list[Tables], warn: Say, *, backend: str, host: Host, families: tuple[int, ...]
) -> Outcome:
    states = _states(config, found, warn, backend)
    found = [tables for tables in found if tables.name in states]
    name = choose(backend, [candidate(tables, states[tables.name]) for tables in found])
    chosen = next(tables for tables in found if tables.name == name)
    able = tuple(family for family in families if family in chosen.families)
    if able != families:
        warn(f"ip6tables is not there for {name}: only IPv4 is redirected")
    # First the new rules, then those of another backend away, so that no traffic passes by meanwhile.
    others = [tables for tables in found if tables is not chosen and states[tables.name].families]
    there = host_disk.has_address(_PASSTHROUGH_6)
    plan = _Plan(
        states,
        [(chosen, {family: build(config, host, family) for family in able}), *((one, {}) for one in others)],
        adds_address=6 in able and not there,
        removes_address=6 not in able and there and _has_ipv6_rules(states),
    )
    if not config.dry_run:
        plan.carry_out()
    return Outcome(plan.texts(), {name: _spoken(able)})


def _uninstall_once(config: Config, found: list[Tables], warn: Say) -> Outcome:
    states = _states(config, found, warn, AUTO)
    holding = [tables for tables in found if tables.name in states and states[tables.name].families]
    plan = _Plan(
        states,
        [(tables, {}) for tables in holding],
        removes_address=_has_ipv6_rules(states) and host_disk.has_address(_PASSTHROUGH_6),
    )
    if not config.dry_run:
        plan.carry_out()
    return Outcome(
        plan.texts(), {tables.name: _spoken(sorted(states[tables.name].families)) for tables in holding}
    )


def _has_ipv6_rules(states: Mapping[str, State]) -> bool:
    return any(6 in state.families for state in states.values())


def _spoken(families: Iterable[int]) -> str:
    return " and ".join(_NAMES[family] for family in families)


def _states(config: Config, found: list[Tables], warn: Say, wish: str) -> dict[str, State]:
    """By name. A program that the kernel does not support is left out, unless there is no other."""
    if not host_disk.may_redirect():
        if not config.dry_run:
            raise UserError(NO_CAPABILITY)
        warn("without CAP_NET_ADMIN the rules that are there cannot be read: taken for a host without ours")
        return {tables.name: State() for tables in found}
    states: dict[str, State] = {}
    for left, tables in zip(range(len(found))[::-1], found, strict=True):
        try:
            states[tables.name] = tables.read()
        except ProgramError as error:
            if tables.name == wish or not (left or states):
                raise
            warn(f"{tables.name} is left out: {error}")
    return states


def _host(config: Config, warn: Say) -> Host:
    listed = config.dns_enabled and not config.dns_capture_all
    servers = host_disk.name_servers(config) if listed else ()
    if listed and not servers:
        warn(f"{config.resolv_conf} lists no name server: only --redirect-all-dns-traffic redirects DNS")
    uid = host_disk.uid_of(config)
    if config.dns_capture_all:
        _warn_of_resolver(config, uid, warn)
    return Host(uid, servers)


def _warn_of_resolver(config: Config, uid: int, warn: Say) -> None:
    """kuma-dp would ask a resolver of this host, and what that asks would be redirected to kuma-dp."""
    with contextlib.suppress(UserError):
        for server in host_disk.name_servers(config):
            owner = host_disk.owner_of(server, DNS_PORT)
            if owner is not None and not leaves_alone(config, owner, uid):
                warn(
                    f"the name server {server} in {config.resolv_conf} is a program of this host with the "
                    f"uid {owner}: its own queries go to kuma-dp, and kuma-dp asks it; leave it alone with "
                    f"--exclude-outbound-ports-for-uids=53:{owner}, or use --redirect-dns"
                )


def _families(config: Config, warn: Say) -> tuple[int, ...]:
    if config.ipv6 and not host_disk.has_ipv6():
        warn("this host has no IPv6: only IPv4 is redirected; --ip-family-mode=ipv4 asks for that")
    return (4, 6) if config.ipv6 and host_disk.has_ipv6() else (4,)


def _attempts(config: Config, attempt: Callable[[], R], *, remedy: str = "") -> R:
    for left in range(config.max_retries, -1, -1):
        try:
            with contextlib.nullcontext() if config.dry_run else lock_disk.alone(config.wait):
                return attempt()
        except ProgramError as error:
            if not (error.passing and left):
                raise UserError(f"{error}; nothing was changed{remedy}") from None
            time.sleep(config.sleep_between_retries)
    raise AssertionError("the last attempt returns or raises")
