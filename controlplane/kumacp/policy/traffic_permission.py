"""TrafficPermission: for each inbound the one permission with the most specific destination
(kuma-cp 2.10, 3.2)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from kumacp.policy.selector import WILDCARD, matches, rank
from kumacp.xds.model import Principal, PrincipalPolicy, UriMatch
from kumamesh import names
from kumamesh.resource import Resource


class TrafficPermissions:
    """The permissions of a mesh, most specific destination first."""

    def __init__(self, mesh: str, permissions: Iterable[Resource]) -> None:
        self._mesh = mesh
        self._by_service: dict[str, list[tuple[Mapping[str, str], Resource]]] = {}
        for selector, permission in _ordered(permissions):
            service = selector.get(names.SERVICE_TAG, WILDCARD)
            self._by_service.setdefault(service, []).append((selector, permission))

    def winner(self, tags: Mapping[str, str]) -> Resource | None:
        """The permission for an inbound with the tags."""
        found = None
        for service in (tags.get(names.SERVICE_TAG, WILDCARD), WILDCARD):
            for selector, permission in self._by_service.get(service, ()):
                if matches(selector, tags):
                    if found is None or _precedence(selector, permission) < _precedence(*found):
                        found = (selector, permission)
                    break
        return None if found is None else found[1]

    def policy(self, permission: Resource) -> PrincipalPolicy:
        """Who may call, keyed by the permission's name."""
        sources = [_principal(self._mesh, source.match) for source in permission.spec.sources]
        distinct = tuple(dict.fromkeys(sources))
        return PrincipalPolicy(permission.name, ((),) if () in distinct else distinct)


def _ordered(permissions: Iterable[Resource]) -> Sequence[tuple[Mapping[str, str], Resource]]:
    pairs = [(selector.match, one) for one in permissions for selector in one.spec.destinations]
    return sorted(pairs, key=lambda pair: _precedence(*pair))


def _precedence(selector: Mapping[str, str], permission: Resource) -> tuple[int, int, float, str]:
    """Lower wins: the more specific selector, then the newer permission, then the name."""
    size, exact = rank(selector)
    return -size, -exact, -permission.creation_time.timestamp(), permission.name


def _principal(mesh: str, source: Mapping[str, str]) -> Principal:
    """All tags of the source; a tag with any value says nothing, a source without others is any client."""
    return tuple(tag_match(mesh, tag, source[tag]) for tag in sorted(source) if source[tag] != WILDCARD)


def tag_match(mesh: str, tag: str, value: str) -> UriMatch:
    """The URI SAN by which a certificate of the mesh states the tag."""
    if tag == names.SERVICE_TAG:
        return UriMatch(names.service_spiffe_id(mesh, value))
    return UriMatch(names.tag_id(tag, value))
