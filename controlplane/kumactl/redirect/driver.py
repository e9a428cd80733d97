"""Installs and removes the redirection, or tells what it would do; a failure leaves the host as it was."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

from kumactl.redirect import host_disk, loopback_driver
from kumactl.redirect.choice import AUTO, NO_CAPABILITY, choose, refuse_impossible
from kumactl.redirect.program_process import ProgramError
from kumactl.redirect.tables_process import State, Tables, Wanted, candidate, installed
from kumamesh.errors import UserError
from kumamesh.transparent_proxy.config import Config, executables
from kumamesh.transparent_proxy.rules import PASSTHROUGH, Host, build

Say = Callable[[str], None]
_PASSTHROUGH_6 = PASSTHROUGH[6].network_address
_NAMES = {4: "IPv4", 6: "IPv6"}

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Outcome:
    """`texts`: what was given, or would be, to which command. `families` that are redirected now."""

    backend: str
    texts: Mapping[str, str]
    families: str


def install(config: Config, *, backend: str, warn: Say) -> Outcome:
    """Bring the host to what the settings say, whatever of ours was there; raises UserError."""
    refuse_impossible(config)
    host = _host(config, warn)
    found = installed(executables(config), ipv6=host_disk.knows_ipv6(), wait_s=config.wait)
    families = _families(config, warn)
    return _attempts(
        config, lambda: _install_once(config, found, warn, backend=backend, host=host, families=families)
    )


def uninstall(config: Config, *, warn: Say) -> list[Outcome]:
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
    wanted = {family: build(config, host, family) for family in able}
    outcome = Outcome(name, chosen.texts(states[name], wanted), " and ".join(_NAMES[one] for one in able))
    if config.dry_run:
        return outcome
    with _address_of_sidecar(6 in able):
        _replace(chosen, states, wanted, found)
    return outcome


def _replace(chosen: Tables, states: Mapping[str, State], wanted: Wanted, found: list[Tables]) -> None:
    """First the new rules, then those of another backend away, so that no traffic passes by meanwhile."""
    chosen.change(states[chosen.name], wanted)
    others = [tables for tables in found if tables is not chosen and states[tables.name].families]
    try:
        for tables in others:
            tables.change(states[tables.name], {})
    except BaseException:
        chosen.put_back(states[chosen.name])
        raise


def _uninstall_once(config: Config, found: list[Tables], warn: Say) -> list[Outcome]:
    states = _states(config, found, warn, AUTO)
    holding = [tables for tables in found if tables.name in states and states[tables.name].families]
    outcomes = [
        Outcome(
            tables.name,
            tables.texts(states[tables.name], {}),
            " and ".join(_NAMES[family] for family in sorted(states[tables.name].families)),
        )
        for tables in holding
    ]
    if not config.dry_run:
        for tables in holding:
            tables.change(states[tables.name], {})
        if any(6 in states[tables.name].families for tables in holding):
            loopback_driver.remove(str(_PASSTHROUGH_6))
    return outcomes


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
    return Host(host_disk.uid_of(config), servers)


def _families(config: Config, warn: Say) -> tuple[int, ...]:
    if config.ipv6 and not host_disk.has_ipv6():
        warn("this host has no IPv6: only IPv4 is redirected; --ip-family-mode=ipv4 asks for that")
    return (4, 6) if config.ipv6 and host_disk.has_ipv6() else (4,)


@contextlib.contextmanager
def _address_of_sidecar(needed: bool) -> Iterator[None]:
    there = host_disk.has_address(_PASSTHROUGH_6)
    if needed and not there:
        loopback_driver.add(str(_PASSTHROUGH_6))
    try:
        yield
    except BaseException:
        if needed and not there:
            loopback_driver.remove(str(_PASSTHROUGH_6))
        raise


def _attempts(config: Config, attempt: Callable[[], R]) -> R:
    for left in range(config.max_retries, -1, -1):
        try:
            return attempt()
        except ProgramError as error:
            if not (error.passing and left):
                raise UserError(f"{error}; nothing was changed; --backend chooses another program") from None
            time.sleep(config.sleep_between_retries)
    raise AssertionError("the last attempt returns or raises")
