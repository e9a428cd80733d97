"""From inputs of units to xDS resources (contract section 5, legacy names)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from kumacp.xds import direct as straight
from kumacp.xds import model, name_table
from kumacp.xds import outside as out
from kumacp.xds.build import (
    admin,
    clusters,
    direct,
    dynconf,
    edge,
    endpoints,
    http,
    inbound,
    outbound,
    outside,
    secrets,
)
from kumacp.xds.build.messages import serialise
from kumacp.xds.edge import units
from kumacp.xds.edge.outside import OutsideCluster
from kumamesh.xds import XdsResource, content_version

_BUILDERS: Mapping[type, Callable[[Any], Any]] = {
    model.ServiceCluster: clusters.service_cluster,
    model.LocalCluster: clusters.local_cluster,
    model.AdminCluster: admin.admin_cluster,
    model.ReadinessCluster: admin.readiness_cluster,
    model.ServiceEndpoints: endpoints.load_assignment,
    model.InboundListener: inbound.listener,
    model.OutboundListener: outbound.listener,
    model.SourceTags: http.source_tags,
    model.AdminListener: admin.admin_listener,
    model.CaSecret: secrets.ca_secret,
    model.IdentitySecret: secrets.identity_secret,
    out.ExternalCluster: outside.external_cluster,
    out.PassthroughCluster: outside.passthrough_cluster,
    out.NoDestinationCluster: outside.no_destination_cluster,
    out.PassthroughListener: outside.passthrough_listener,
    straight.DirectAccessCluster: direct.cluster,
    straight.DirectAccessListener: direct.listener,
    name_table.DnsListener: dynconf.dns_listener,
    units.EdgeListener: edge.listener,
    units.EdgeCluster: edge.cluster,
    units.EdgeEndpoints: edge.load_assignment,
    OutsideCluster: outside.external_cluster,
}


def build(unit: model.UnitInput) -> XdsResource:
    """The resource of the input; equal inputs give equal bytes, and so equal versions."""
    if isinstance(unit, name_table.DynamicConfig):
        identity, content = dynconf.deferred(unit)
        return XdsResource(unit.type_url, unit.name, content_version(identity), content)
    made = _BUILDERS[type(unit)](unit)
    body = made if isinstance(made, bytes) else serialise(made)
    parts = [body]
    if isinstance(unit, model.ServiceEndpoints | units.EdgeEndpoints):
        parts.append(unit.cluster_version.encode())
    return XdsResource(unit.type_url, unit.name, content_version(*parts), body)
