"""Rules of VirtualOutbound (kuma-cp 2.8)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from kumamesh.names import SERVICE_TAG
from kumamesh.resource import Violation
from kumamesh.resources.rules.common import HAS_TO_BE_DEFINED, Violations, check_selectors, is_tag_name
from kumamesh.resources.virtual_outbound import VirtualOutbound, VirtualOutboundConf, quoted

_PARAMETER_NAME = re.compile(r"[a-zA-Z0-9]+")


def check_virtual_outbound(virtual: VirtualOutbound) -> Violations:
    yield from check_selectors("selectors", virtual.selectors)
    if virtual.conf is None:
        yield Violation("conf", HAS_TO_BE_DEFINED)
        return
    conf = virtual.conf
    yield from _check_parameters("conf.parameters", conf)
    yield from _check_template("conf.host", conf.host, conf.host_of, _sample(conf, "dummy"))
    yield from _check_template("conf.port", conf.port, conf.port_of, _sample(conf, "1"))


def _check_parameters(path: str, conf: VirtualOutboundConf) -> Violations:
    seen: set[str] = set()
    for index, parameter in enumerate(conf.parameters):
        at = f"{path}[{index}]"
        if parameter.name in seen:
            yield Violation(f"{at}.name", "name is already used")
        seen.add(parameter.name)
        if parameter.tag_key and not is_tag_name(parameter.tag_key):
            yield Violation(f"{at}.tagKey", "must be a valid tag name")
        if not parameter.tag_key and not is_tag_name(parameter.name):
            yield Violation(f"{at}.name", "must be a valid tag name if you are not setting tagKey")
        if not _PARAMETER_NAME.fullmatch(parameter.name):
            yield Violation(
                f"{at}.name", "must consist of alphanumeric characters to be used as a gotemplate key"
            )
    if all(parameter.tag_key != SERVICE_TAG for parameter in conf.parameters):
        yield Violation(path, f"must contain a parameter with {SERVICE_TAG} as a tagKey")


def _check_template(
    path: str, text: str, evaluate: Callable[[Mapping[str, str]], object], sample: Mapping[str, str]
) -> Violations:
    if not text:
        yield Violation(path, HAS_TO_BE_DEFINED)
        return
    try:
        evaluate(sample)
    except ValueError as error:
        yield Violation(path, f"template pre evaluation failed with error={quoted(str(error))}")


def _sample(conf: VirtualOutboundConf, value: str) -> Mapping[str, str]:
    """Tags that give every parameter this value."""
    return {parameter.tag: value for parameter in conf.parameters}
