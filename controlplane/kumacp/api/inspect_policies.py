"""Which policies decide about a Dataplane, and about which Dataplanes a policy decides (contract 9.4).

For an inbound that MeshTrafficPermissions select, they decide alone; for others a TrafficPermission does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from kumacp.policy import selector
from kumacp.policy.mesh_traffic_permission import MeshTrafficPermissions
from kumacp.policy.traffic_permission import TrafficPermissions
from kumacp.xds.facts import serving_inbounds
from kumamesh.names import format_address
from kumamesh.resource import Resource
from kumamesh.resources.dataplane import Inbound
from kumamesh.resources.rest import to_shown

SIDECAR, GATEWAY = "SidecarDataplane", "MeshGatewayDataplane"

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Matched:
    """An inbound with the policies that decide about it, in the order in which they are merged."""

    inbound: Inbound
    policies: tuple[Resource, ...]


class PolicyMatcher:
    """The permissions of one mesh."""

    def __init__(
        self,
        mesh: str,
        traffic_permissions: Sequence[Resource],
        mesh_traffic_permissions: Sequence[Resource],
    ) -> None:
        self._legacy = TrafficPermissions(mesh, traffic_permissions)
        self._current = MeshTrafficPermissions(mesh, mesh_traffic_permissions)

    def of(self, dataplane: Resource) -> Iterator[Matched]:
        """Every inbound that has a listener."""
        for inbound in serving_inbounds(dataplane.spec):
            policies = self._current.selecting(dataplane, inbound)
            winner = None if policies else self._legacy.winner(inbound.tags)
            yield Matched(inbound, policies if winner is None else (winner,))


def policies_document(dataplane: Resource, matcher: PolicyMatcher) -> Document:
    """`dataplanes/<name>/policies`."""
    gateway = dataplane.spec.networking.gateway
    if gateway is not None and gateway.type == "BUILTIN":
        return {"kind": GATEWAY, "total": 0, "items": [], "listeners": [], "policies": {}}
    items = []
    for matched in matcher.of(dataplane):
        by_type: dict[str, list[Document]] = {}
        for policy in matched.policies:
            by_type.setdefault(policy.type, []).append(to_shown(policy))
        if by_type:
            items.append({**_attachment(dataplane, matched.inbound), "matchedPolicies": by_type})
    return {"kind": SIDECAR, "total": len(items), "items": items}


def affected(policy: Resource, dataplane: Resource, matcher: PolicyMatcher) -> Document | None:
    """An item of `<policies>/<name>/dataplanes`: where the policy decides; None when it does not."""
    attachments = [
        _attachment(dataplane, matched.inbound)
        for matched in matcher.of(dataplane)
        if any(found.key == policy.key for found in matched.policies)
    ]
    if not attachments:
        return None
    proxy = {"mesh": dataplane.mesh, "name": dataplane.name}
    return {"kind": SIDECAR, "dataplane": proxy, "attachments": attachments}


def is_selected(policy: Resource, dataplane: Resource) -> bool:
    """Whether what the policy says of its targets fits an inbound, be it overruled there or a shadow."""
    return any(_fits(policy, dataplane, inbound) for inbound in serving_inbounds(dataplane.spec))


def meta(resource: Resource) -> Document:
    """A resource without its body."""
    return {
        "type": resource.type,
        "mesh": resource.mesh,
        "name": resource.name,
        "labels": dict(resource.labels),
    }


def _fits(policy: Resource, dataplane: Resource, inbound: Inbound) -> bool:
    if policy.type == "TrafficPermission":
        return any(selector.matches(to.match, inbound.tags) for to in policy.spec.destinations)
    return selector.selects(policy, dataplane, inbound)


def _attachment(dataplane: Resource, inbound: Inbound) -> Document:
    """`127.0.0.1:80:8080`: the address of the listener, then the port of the application."""
    networking = dataplane.spec.networking
    address = format_address(networking.inbound_address(inbound), inbound.port)
    _, port = networking.workload(inbound)
    return {"type": "inbound", "name": f"{address}:{port}", "service": inbound.service}
