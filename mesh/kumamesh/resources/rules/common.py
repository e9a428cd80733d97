"""Checks that several resources share (kuma-cp 2.0)."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Protocol

from kumamesh.durations import parse_duration
from kumamesh.names import PROTOCOL_TAG, PROTOCOLS, SERVICE_TAG
from kumamesh.resource import Violation

Violations = Iterator[Violation]


class Selecting(Protocol):
    """A selector by tags."""

    @property
    def match(self) -> Mapping[str, str]: ...


MUST_BE_DEFINED = "must be defined"
HAS_TO_BE_DEFINED = "has to be defined"
CANNOT_BE_EMPTY = "cannot be empty"
POSITIVE = "must have a positive value"
BAD_DURATION = "has to be a valid format"
BAD_PORT = "port must be in the range [1, 65535]"
BAD_NAME = (
    "invalid characters. Valid characters are numbers, lowercase latin letters and '-', '_', '.' symbols."
)
BAD_IDENTIFIER = (
    "invalid characters. A lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters,"
    " '-' or '.', and must start and end with an alphanumeric character"
)

_TAG_NAME = re.compile(r"[a-zA-Z0-9.\-_:/]*")
_TAG_VALUE = re.compile(r"[a-zA-Z0-9.\-_:]*")
_SELECTOR_VALUE = re.compile(r"[a-zA-Z0-9.\-_:/]*|\*")
_BAD_TAG_NAME = "tag name must consist of alphanumeric characters, dots, dashes, slashes and underscores"
_BAD_TAG_VALUE = "tag value must consist of alphanumeric characters, dots, dashes and underscores"
_BAD_SELECTOR_VALUE = (
    'tag value must consist of alphanumeric characters, dots, dashes, slashes and underscores or be "*"'
)

_NAME = re.compile(r"[0-9a-z.\-_]*")
_IDENTIFIER = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_DNS_LABEL = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9_-]{0,62}")


def join(path: str, field: str) -> str:
    """The path of a field below a path; both may be empty."""
    if not path or not field or field.startswith("["):
        return path + field
    return f"{path}.{field}"


def key(path: str, name: str) -> str:
    """The path of an entry of a map."""
    return f'{path}["{name}"]'


def name_problem(name: str) -> str | None:
    """What is wrong with the name of a resource or mesh. The charset is the wide one, with underscores."""
    if not name:
        return CANNOT_BE_EMPTY
    if len(name) > 253:
        return "value length must less or equal 253"
    if name in (".", ".."):
        return "must not be . or .., which mean something else in the path of a URL"
    return None if _NAME.fullmatch(name) else BAD_NAME


def is_identifier(name: str) -> bool:
    """Whether the name is an RFC 1123 subdomain."""
    return _IDENTIFIER.fullmatch(name) is not None


def is_tag_name(name: str) -> bool:
    return _TAG_NAME.fullmatch(name) is not None


def is_ip(address: str) -> bool:
    try:
        ipaddress.ip_address(address)
    except ValueError:
        return False
    return "%" not in address


def is_dns_name(name: str) -> bool:
    labels = name.removesuffix(".").split(".")
    return len(name) <= 253 and all(_DNS_LABEL.fullmatch(label) for label in labels)


def positive_duration(text: str) -> bool:
    try:
        return parse_duration(text) > 0
    except ValueError:
        return False


def check_port(path: str, port: int) -> Violations:
    if not 1 <= port <= 65535:
        yield Violation(path, BAD_PORT)


def check_ip(path: str, address: str, field: str = "address") -> Violations:
    if not is_ip(address):
        yield Violation(path, f"{field} has to be valid IP address")


def check_address(path: str, address: str) -> Violations:
    """An address that other machines can use: IP or DNS name."""
    if not address:
        yield Violation(path, "address can't be empty")
    elif address in {"0.0.0.0", "::"}:
        yield Violation(path, "must not be 0.0.0.0 or ::")
    elif not is_ip(address) and not is_dns_name(address):
        yield Violation(path, "address has to be valid IP address or domain name")


def check_tags(path: str, tags: Mapping[str, str], *, require_service: bool = False) -> Violations:
    """Tags of a proxy."""
    yield from _check_entries(path, tags, _TAG_VALUE, _BAD_TAG_VALUE)
    if require_service and SERVICE_TAG not in tags:
        yield Violation(path, f'mandatory tag "{SERVICE_TAG}" is missing')


def check_selector(path: str, tags: Mapping[str, str], *, require_any: bool = False) -> Violations:
    """Tags that select proxies; a value may be `*`."""
    if require_any and not tags:
        yield Violation(path, "must have at least one tag")
    yield from _check_entries(path, tags, _SELECTOR_VALUE, _BAD_SELECTOR_VALUE)


def check_selectors(path: str, selectors: Sequence[Selecting]) -> Violations:
    """Selectors of a policy; there must be one."""
    if not selectors:
        yield Violation(path, "must have at least one element")
    for index, selector in enumerate(selectors):
        yield from check_selector(f"{path}[{index}].match", selector.match, require_any=True)


def _check_entries(
    path: str, tags: Mapping[str, str], value_form: re.Pattern[str], bad_value: str
) -> Violations:
    for name in sorted(tags):
        value = tags[name]
        if not name:
            yield Violation(path, "tag name must be non-empty")
        if not _TAG_NAME.fullmatch(name):
            yield Violation(key(path, name), _BAD_TAG_NAME)
        if not value:
            yield Violation(key(path, name), "tag value must be non-empty")
        if not value_form.fullmatch(value):
            yield Violation(key(path, name), bad_value)


def check_protocol(path: str, tags: Mapping[str, str]) -> Violations:
    """The tag kuma.io/protocol, if there is one."""
    value = tags.get(PROTOCOL_TAG)
    if value is not None and value not in PROTOCOLS:
        yield Violation(
            key(path, PROTOCOL_TAG),
            f'tag "{PROTOCOL_TAG}" has an invalid value "{value}". {allowed(sorted(PROTOCOLS))}',
        )


def allowed(values: Iterable[str]) -> str:
    return f"Allowed values: {', '.join(values)}"


def check_unique_names(path: str, names: Iterable[str]) -> Violations:
    """Names of the backends at `path`."""
    seen: set[str] = set()
    for index, name in enumerate(names):
        if name in seen:
            yield Violation(f"{path}[{index}].name", f'"{name}" name is already used for another backend')
        seen.add(name)
