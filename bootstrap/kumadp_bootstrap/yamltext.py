"""Bootstrap documents as YAML that Envoy, Kuma and this project read alike.

The three differ on unquoted scalars: yaml-cpp takes `y` for true, YAML 1.1 takes `1:30` for 90 and
`2001-01-01` for a date. So such strings are always written quoted, and never read as anything but strings.
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from typing import Any

import yaml

from kumamesh.errors import UserError

Document = dict[str, Any]

_BOOL, _INT, _FLOAT, _TEXT = (f"tag:yaml.org,2002:{kind}" for kind in ("bool", "int", "float", "str"))
_WIDE = 1 << 20


class _Dumper(yaml.CSafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def _represent_text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    """Certificates are readable as blocks only."""
    return dumper.represent_scalar(_TEXT, text, style="|" if "\n" in text else None)


class _Loader(yaml.CSafeLoader):
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Keys are text as it stands: protobuf's JSON knows no others."""
        mapping: dict[Hashable, Any] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.MarkedYAMLError(problem="a key must be text", problem_mark=key.start_mark)
            mapping[key.value] = self.construct_object(value, deep=deep)
        return mapping


_Dumper.add_representer(str, _represent_text)
_Dumper.add_implicit_resolver(_BOOL, re.compile("[yYnN]$"), list("yYnN"))
_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    (_BOOL, r"(?:true|True|TRUE|false|False|FALSE)$", "tTfF"),
    ("tag:yaml.org,2002:null", r"(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    (_INT, r"[-+]?(?:0|[1-9][0-9]*)$", "-+0123456789"),
    (_FLOAT, r"[-+]?[0-9]+\.[0-9]*(?:[eE][-+]?[0-9]+)?$", "-+0123456789"),
):
    _Loader.add_implicit_resolver(_tag, re.compile(_pattern), list(_first))


def dump(document: Document) -> str:
    """Canonical: equal documents give equal text."""
    text: str = yaml.dump(document, Dumper=_Dumper, sort_keys=True, allow_unicode=True, width=_WIDE)
    return text


def load(text: str, source: str) -> Document:
    """The mapping in the text; raises UserError naming source, line and column."""
    try:
        _refuse_aliases(text, source)
        document = yaml.load(text, Loader=_Loader)  # noqa: S506  # derived from the safe loader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"{source}:{mark.line + 1}:{mark.column + 1}" if mark else source
        raise UserError(f"{where}: {error.problem or 'not YAML'}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UserError(f"{source}: not YAML") from error
    if not isinstance(document, dict):
        raise UserError(f"{source}: a YAML mapping is expected, not {type(document).__name__}")
    return document


def _refuse_aliases(text: str, source: str) -> None:
    """A few of them can stand for gigabytes, and no bootstrap needs one."""
    if "&" not in text:
        return
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.AliasEvent):
            raise UserError(f"{source}: YAML aliases are not accepted (*{event.anchor})")
