"""What people may write at this control plane, and where else they may (kuma-cp 6.1, contract 9.1)."""

from __future__ import annotations

from dataclasses import dataclass

from kumacp.identity.signing_keys import GLOBAL_SECRET, stays_here
from kumacp.manager import labels
from kumacp.manager.proxies import PROXY_TYPES
from kumacp.mode import Role
from kumamesh.resource import Resource
from kumamesh.resources.registry import ResourceType

ON_GLOBAL = (
    "On global control plane you can not modify dataplane resources with 'kumactl apply' or via the HTTP API."
    " You can still use 'kumactl' or the HTTP API to modify them on the zone control plane."
)
ON_ZONE = (
    "On zone control plane you can only modify zone resources with 'kumactl apply' or via the HTTP API."
    " You can still use 'kumactl' or the HTTP API to modify the rest of the resource on the global control"
    " plane."
)


@dataclass(frozen=True, slots=True)
class Authority:
    """Decides by the role. `own_policies`: a federated zone takes policies that are its own."""

    role: Role
    own_policies: bool = False

    def writes(self, type_: ResourceType) -> bool:
        """Whether any resource of the type can be written here."""
        return not type_.read_only and not self._refused(type_, type_.name == GLOBAL_SECRET)

    def refusal(self, type_: ResourceType, name: str) -> str:
        """Why nobody may write the resource here, whatever is in it; "" when they may."""
        return self._refused(type_, type_.name == GLOBAL_SECRET and stays_here(name))

    def refusal_to_replace(self, stored: Resource) -> str:
        """Why nobody may change or delete the resource here: it came from another control plane."""
        origin = labels.origin(stored.labels)
        if self.role.is_global and origin == labels.ZONE:
            return ON_GLOBAL
        return ON_ZONE if self.role.federated and origin == labels.GLOBAL else ""

    def _refused(self, type_: ResourceType, of_one_control_plane: bool) -> str:
        if self.role.is_global:
            return ON_GLOBAL if type_.name in PROXY_TYPES else ""
        if not self.role.federated or of_one_control_plane or type_.name in PROXY_TYPES:
            return ""
        return "" if self.own_policies and type_.policy else ON_ZONE
