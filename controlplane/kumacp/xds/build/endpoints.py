"""ClusterLoadAssignments (contract 5.10)."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from typing import Any

from envoy.config.core.v3 import base_pb2
from envoy.config.endpoint.v3 import endpoint_components_pb2, endpoint_pb2

from kumacp.xds.build.messages import address, metadata, uint32
from kumacp.xds.model import Endpoint, ServiceEndpoints
from kumamesh import names

_LB, _SOCKET = "envoy.lb", "envoy.transport_socket_match"
_EDGE = (names.EDGE_MATCH, names.EDGE_VALUE)


def load_assignment(unit: ServiceEndpoints) -> Any:
    return assignment(unit.name, unit.endpoints)


def assignment(cluster: str, endpoints: Iterable[Endpoint]) -> Any:
    ordered = sorted(endpoints, key=_place)
    return endpoint_pb2.ClusterLoadAssignment(
        cluster_name=cluster,
        endpoints=[
            _locality(zone, priority, hosts)
            for (zone, priority), hosts in groupby(ordered, key=lambda e: (e.zone, e.priority))
        ],
    )


def _place(endpoint: Endpoint) -> tuple[Any, ...]:
    return (endpoint.zone, endpoint.priority, endpoint.address, endpoint.port, endpoint.tags)


def _locality(zone: str, priority: int, hosts: Iterable[Endpoint]) -> Any:
    return endpoint_components_pb2.LocalityLbEndpoints(
        locality=base_pb2.Locality(zone=zone) if zone else None,
        priority=priority,
        lb_endpoints=[
            endpoint_components_pb2.LbEndpoint(
                endpoint=endpoint_components_pb2.Endpoint(address=address(host.address, host.port)),
                metadata=_metadata(host),
                load_balancing_weight=uint32(host.weight),
            )
            for host in hosts
        ],
    )


def _metadata(host: Endpoint) -> Any | None:
    made = metadata(host.tags, _LB, _SOCKET)
    if host.edge:
        # In both modes of mTLS, so that switching between them changes no endpoint.
        made = made or base_pb2.Metadata()
        made.filter_metadata[_SOCKET].update(dict([_EDGE]))
    return made
