"""Which policies a proxy has, and which proxies have a policy, as texts (contract 9.4)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kumactl.answer import Item, entries, plain, section, text
from kumactl.table import Table

_GATEWAY = "MeshGatewayDataplane"


def proxy_policies(document: Item) -> str:
    """What applies to a proxy, by the place where it applies: the answer of `dataplanes/<name>/policies`."""
    lines = _gateway(document) if text(document, "kind") == _GATEWAY else _sidecar(document)
    return "\n".join(map(plain, lines))


def affected_proxies(items: Sequence[Item]) -> str:
    """Proxies that a policy applies to, and where: the answer of `<policies>/<name>/dataplanes`."""
    lines = ["Affected data plane proxies:", ""]
    for item in items:
        lines += [*(_affected_sidecar(item) if "dataplane" in item else _affected_gateway(item)), ""]
    return "\n".join(map(plain, lines[:-1] if items else lines))


def affected_table(items: Sequence[Item]) -> Table:
    """The same, in the short form of `_resources/dataplanes`."""
    rows = [tuple(text(item, key) for key in ("type", "mesh", "name")) for item in items]
    return Table(("Type", "Mesh", "Name"), rows, f"Total: {len(rows)}")


def _sidecar(document: Item) -> Iterator[str]:
    for item in entries(document, "items"):
        yield f"{_attachment(item, text(item, 'type').upper())}:"
        for type_, policies in sorted(section(item, "matchedPolicies").items()):
            yield f"  {type_}"
            for policy in entries(policies):
                yield f"    {text(policy, 'name')}"
        yield ""


def _attachment(item: Item, kind: str) -> str:
    """`inbound 127.0.0.1:80:8080(web)`, `service web`, `dataplane`."""
    if kind.lower() == "dataplane":
        return kind
    if kind.lower() == "service":
        return f"{kind} {text(item, 'name')}"
    return f"{kind} {text(item, 'name')}({text(item, 'service')})"


def _gateway(document: Item) -> Iterator[str]:
    yield "MESHGATEWAY:"
    yield from _named(section(document, "policies"), "  ")
    yield ""
    for listener in entries(document, "listeners"):
        yield f"LISTENER ({text(listener, 'protocol')}:{text(listener, 'port')}):"
        for host in entries(listener, "hosts"):
            yield f"  {text(host, 'hostName')}:"
            for route in entries(host, "routes"):
                yield f"    ROUTE {text(route, 'route')}:"
                for destination in entries(route, "destinations"):
                    yield f"      SERVICE {text(destination, 'tags', 'kuma.io/service')}:"
                    yield from _named(section(destination, "policies"), "        ")
                    yield ""


def _named(policies: Item, indent: str) -> Iterator[str]:
    for type_, policy in sorted(policies.items()):
        yield f"{indent}{type_}"
        yield f"{indent}  {text(policy, 'name')}"


def _affected_sidecar(item: Item) -> Iterator[str]:
    attachments = entries(item, "attachments")
    name = text(item, "dataplane", "name")
    if [text(each, "type") for each in attachments] == ["dataplane"]:
        yield f"  {name}"
        return
    yield f"  {name}:"
    for each in attachments:
        yield f"    {_attachment(each, text(each, 'type'))}"


def _affected_gateway(item: Item) -> Iterator[str]:
    yield f"  {text(item, 'gateway', 'name')}:"
    for listener in entries(item, "listeners"):
        yield f"    listener ({text(listener, 'protocol')}:{text(listener, 'port')}):"
        for host in entries(listener, "hosts"):
            yield f"      {text(host, 'hostName')}:"
            for route in entries(host, "routes"):
                yield f"        {text(route, 'route')}:"
                for destination in entries(route, "destinations"):
                    yield f"          service {text(destination, 'kuma.io/service')}"
