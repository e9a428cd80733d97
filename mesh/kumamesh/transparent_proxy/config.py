"""Reads and checks the settings of transparent proxying.

`kumactl install transparent-proxy` makes rules from all of them; `kuma-dp run --transparent-proxy-config`
reads the same files, and tells the control plane the ports.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from kumamesh.errors import EXIT_USAGE, UserError
from kumamesh.settings import Option, Origin, Resolved, options, resolve, suggestion
from kumamesh.transparent_proxy import exclusions
from kumamesh.transparent_proxy.declared import DEFAULT, Config

__all__ = ["DEFAULT", "Config", "executables", "load", "merged", "resolved"]

EXECUTABLES = tuple(
    f"{program}{suffix}" for program in ("iptables", "ip6tables") for suffix in ("", "-save", "-restore")
)

_KEYS = tuple(item.key for item in options(Config) if item.key)


def load(documents: Sequence[tuple[str, str]]) -> Config:
    """The settings of files, given as (name, YAML or JSON); of two files the later one counts. Raises a
    UserError that names the file and the key."""
    return resolved(merged(documents)).settings


def merged(documents: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """One document from several, each of them checked, later ones laid over earlier ones key by key."""
    # The reader of YAML is loaded only where there is something to read.
    from kumamesh.resources.yamldoc import load_documents

    result: dict[str, Any] = {}
    for source, text in documents:
        for found in load_documents(text, source, form="settings such as redirect: {dns: {enabled: true}}"):
            try:
                _refuse_unknown(found)
                document = _without_nulls(found)
                _checked(resolve(Config, document=document))
            except UserError as error:
                raise UserError(f"{source}: {error}", exit_code=EXIT_USAGE) from None
            result = _laid_over(result, document)
    return result


def resolved(
    document: Mapping[str, Any],
    *,
    flags: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
) -> Resolved[Config]:
    """Flags win over variables, variables over the document; raises UserError."""
    result = resolve(Config, flags=flags, environ=environ, document=document)
    _checked(result)
    _refuse_twins(result)
    return result


def _checked(found: Resolved[Config]) -> None:
    """Each value by itself."""
    for item in options(Config):
        check = _CHECKS.get(item.name)
        if check is not None:
            try:
                check(getattr(found.settings, item.name))
            except ValueError as error:
                reason = f"{_told(item, found)} is wrong: {error}"
                raise UserError(reason, exit_code=EXIT_USAGE) from None


def _refuse_twins(found: Resolved[Config]) -> None:
    config = found.settings
    listened = {
        "inbound_port": config.inbound_enabled,
        "outbound_port": config.outbound_enabled or bool(config.vnet_networks),
        "dns_port": config.redirects_dns or bool(config.vnet_networks),
    }
    taken: dict[int, Option] = {}
    for item in options(Config):
        if listened.get(item.name):
            port = getattr(config, item.name)
            if (other := taken.setdefault(port, item)) is not item:
                raise UserError(
                    f"{_told(item, found)} and {_told(other, found)} are both {port}; give each its own port",
                    exit_code=EXIT_USAGE,
                )


def _told(item: Option, found: Resolved[Config]) -> str:
    """The option by the name that it was given by."""
    names = {Origin.FLAG: f"--{item.flag}", Origin.ENVIRONMENT: item.env}
    return names.get(found.origins[item.name], item.key or f"--{item.flag}")


def executables(config: Config) -> dict[str, str]:
    """Paths of programs by their names, those of the flag before those of the file; raises UserError."""
    paths = {name: path for name in EXECUTABLES if (path := getattr(config, name.replace("-", "_")))}
    paths.update(_executable(entry) for entry in config.executables)
    for program in ("iptables", "ip6tables"):
        given = [name for name in paths if name.partition("-")[0] == program]
        if len(given) not in (0, 3):
            raise UserError(
                f"iptablesExecutables has only {', '.join(given)}; give {program}, {program}-save and "
                f"{program}-restore, or none of them",
                exit_code=EXIT_USAGE,
            )
    return paths


def _executable(entry: str) -> tuple[str, str]:
    name, found, path = entry.partition(":")
    if not found or not path or name not in EXECUTABLES:
        raise ValueError(f"{entry!r} is not of the form name:path with a name of {', '.join(EXECUTABLES)}")
    return name, path


def _without_nulls(node: Mapping[str, Any]) -> dict[str, Any]:
    """A key without a value is like a key that is not there."""
    return {
        str(key): _without_nulls(value) if isinstance(value, Mapping) else value
        for key, value in node.items()
        if value is not None
    }


def _refuse_unknown(node: Mapping[str, Any], prefix: str = "") -> None:
    """Keys without a value, which are left out before the others are looked at."""
    for key, value in node.items():
        path = f"{prefix}{key}"
        if isinstance(value, Mapping):
            _refuse_unknown(value, f"{path}.")
        elif value is None and not any(f"{known}.".startswith(f"{path}.") for known in _KEYS):
            hint = suggestion(path, _KEYS)
            raise UserError(f"the configuration file has an unknown key {path}{hint}", exit_code=EXIT_USAGE)


def _laid_over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(below)
    for key, value in above.items():
        old = result.get(key)
        both = isinstance(old, Mapping) and isinstance(value, Mapping)
        result[key] = _laid_over(old or {}, value) if both else value
    return result


def _port(value: int) -> None:
    if not 1 <= value <= 65_535:
        raise ValueError(f"{value} is not a port from 1 to 65535")


def _within(highest: int) -> Callable[[int], None]:
    def check(value: float) -> None:
        if not 0 <= value <= highest:
            raise ValueError(f"{value} is not a number from 0 to {highest}")

    return check


def _each(check: Callable[[Any], object]) -> Callable[[Iterable[Any]], None]:
    def check_all(values: Iterable[Any]) -> None:
        for value in values:
            check(value)

    return check_all


_CHECKS: dict[str, Callable[[Any], object]] = {
    "inbound_port": _port,
    "outbound_port": _port,
    "dns_port": _port,
    "inbound_include_ports": _each(_port),
    "inbound_exclude_ports": _each(_port),
    "outbound_include_ports": _each(_port),
    "outbound_exclude_ports": _each(_port),
    "inbound_exclude_ips": exclusions.networks,
    "outbound_exclude_ips": exclusions.networks,
    "inbound_exclude_uids": _each(exclusions.uid_exclusion),
    "outbound_exclude_uids": _each(exclusions.uid_exclusion),
    "vnet_networks": _each(exclusions.virtual_network),
    "log_level": _within(7),
    "wait": _within(3_600),
    "wait_interval": _within(2**31),
    "max_retries": _within(100),
    "sleep_between_retries": _within(3_600),
    "executables": _each(_executable),
}
