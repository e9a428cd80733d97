"""Under which server names other zones may ask for a service (contract 5.5, 5.7).

Nobody here knows what outbounds in other zones ask for, and a name must match to the last letter. So there is
one for every combination of the tags that instances have, as long as those are few; tags that most instances
have in common come first. What virtual addresses lead to is among them in any case, for those are made alike
in every zone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from itertools import combinations

from kumacp.xds.edge.units import KeySet, edge_cluster
from kumacp.xds.model import Tags
from kumacp.xds.view import MeshView
from kumamesh import names, sni

MAX_SERVER_NAMES = 64
"""Of one service, beside those of virtual addresses."""
MAX_TAGS = 12
"""Tags of one service that are combined with each other."""
MAX_COMBINED = 3

_OWN_CLUSTERS = frozenset({"kuma:envoy:admin", "kuma:readiness"})


def server_name(mesh: str, service: str, tags: Tags = ()) -> str:
    """As Envoy compares it: in lower case, whatever the client wrote. "" for one that no client can send."""
    name = sni.tags_sni({names.SERVICE_TAG: service, **dict(tags)}, mesh).lower()
    return name if name.isascii() and sni.fits(name) else ""


def unreachable(mesh: str, service: str) -> str:
    """Why no zone proxy can carry the service; "" for one that can be carried."""
    if edge_cluster(mesh, service) in _OWN_CLUSTERS:
        return "zone proxies have a cluster of their own of that name"
    if not server_name(mesh, service):
        return f"its server name would be longer than {sni.MAX_BYTES} bytes: choose a shorter kuma.io/service"
    return ""


def asked(view: MeshView, service: str, tag_sets: Collection[Tags]) -> tuple[Tags, ...]:
    """What may be asked for beyond kuma.io/service, nothing first. `tag_sets`, of the instances, are without
    kuma.io/service."""
    carried = [frozenset(tags) for tags in tag_sets]
    found: dict[Tags, None] = {(): None}
    for port in sorted(view.vips.leading_to(service), key=lambda port: port.further):
        if any(tags.issuperset(port.further) for tags in carried):
            found[port.further] = None
    limit = len(found) + MAX_SERVER_NAMES - 1
    common = _common_tags(carried)
    for size in range(1, MAX_COMBINED + 1):
        for chosen in combinations(common, size):
            if len(found) >= limit:
                return tuple(found)
            if any(tags.issuperset(chosen) for tags in carried):
                found[tuple(sorted(chosen))] = None
    return tuple(found)


def relevant(wanted: Tags, tag_sets: Iterable[Tags]) -> Tags:
    """Those of the tags that some instances do not have: the others choose nothing."""
    sets = [frozenset(tags) for tags in tag_sets]
    return tuple(tag for tag in wanted if not all(tag in tags for tags in sets))


def key_sets(subsets: Iterable[Tags]) -> tuple[KeySet, ...]:
    """By which keys the endpoints of a cluster must be told apart."""
    return tuple(sorted({tuple(key for key, _ in subset) for subset in subsets if subset}))


def _common_tags(tag_sets: Iterable[frozenset[tuple[str, str]]]) -> list[tuple[str, str]]:
    counted = Counter(tag for tags in tag_sets for tag in tags if tag[0] != names.PROTOCOL_TAG)
    return sorted(counted, key=lambda tag: (-counted[tag], tag))[:MAX_TAGS]
