"""VirtualOutbound: names and ports that are made of the tags of services (kuma-cp 2.8, 4.3)."""

from __future__ import annotations

import json
from collections.abc import Mapping

from kumamesh import go_template
from kumamesh.resources.base import Spec
from kumamesh.resources.permission import Selector
from kumamesh.resources.rules.common import is_dns_name, is_ip

_LONGEST = 1024
"""Of what a template makes: longer than any name or port, so that what is cut off is neither."""


class TemplateParameter(Spec):
    """What a template calls `.name`; without a tag key the name is that of the tag."""

    name: str = ""
    tag_key: str = ""

    @property
    def tag(self) -> str:
        return self.tag_key or self.name


class VirtualOutboundConf(Spec):
    host: str = ""
    port: str = ""
    parameters: tuple[TemplateParameter, ...] = ()

    def host_of(self, tags: Mapping[str, str]) -> str:
        """The name for services with these tags; raises ValueError in Kuma's words."""
        host = self._evaluated(self.host, tags)
        if not is_dns_name(host) or is_ip(host):
            raise ValueError(_no("return a valid dns name", host))
        return host

    def port_of(self, tags: Mapping[str, str]) -> int:
        """The port for services with these tags; raises ValueError in Kuma's words."""
        text = self._evaluated(self.port, tags)
        digits = text[1:] if text[:1] in ("+", "-") else text
        if not (digits.isascii() and digits.isdecimal() and len(digits) <= 18):
            raise ValueError(_no("evaluate to a parsable number", text))
        port = int(text)
        if not 1 <= port <= 65535:
            raise ValueError(
                f"evaluation of template returned a port outside of the range [1..65535] result={port}"
            )
        return port

    def selected(self, tags: Mapping[str, str]) -> dict[str, str]:
        """Those of the tags that a parameter names."""
        return {parameter.tag: tags[parameter.tag] for parameter in self.parameters if parameter.tag in tags}

    def _evaluated(self, text: str, tags: Mapping[str, str]) -> str:
        try:
            template = go_template.parse(text)
        except go_template.TemplateError as error:
            raise ValueError(f"failed compiling gotemplate error={quoted(str(error))}") from None
        values = {
            parameter.name: tags[parameter.tag] for parameter in self.parameters if parameter.tag in tags
        }
        return template.render(values, _LONGEST)


class VirtualOutbound(Spec):
    selectors: tuple[Selector, ...] = ()
    conf: VirtualOutboundConf | None = None


def quoted(text: str) -> str:
    """As Go quotes a text in its messages."""
    return json.dumps(text, ensure_ascii=False)


def _no(what: str, result: str) -> str:
    return f"evaluation of template with parameters didn't {what} result={quoted(result[:300])}"
