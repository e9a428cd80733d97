"""Rules of Dataplane (kuma-cp 2.1)."""

from __future__ import annotations

from kumamesh.names import PROTOCOL_TAG, PROTOCOLS, SERVICE_TAG
from kumamesh.resource import Violation
from kumamesh.resources.dataplane import (
    BackendRef,
    Dataplane,
    Gateway,
    Inbound,
    Networking,
    Outbound,
    Probes,
    ReachableBackendRef,
    ServiceProbe,
    TransparentProxying,
)
from kumamesh.resources.rules.backend import check_metrics_backend
from kumamesh.resources.rules.common import (
    BAD_IDENTIFIER,
    MUST_BE_DEFINED,
    POSITIVE,
    Violations,
    allowed,
    check_address,
    check_ip,
    check_port,
    check_protocol,
    check_tags,
    is_identifier,
    key,
    positive_duration,
)

_BACKEND_KINDS = ("MeshExternalService", "MeshMultiZoneService", "MeshService")
_BAD_KIND = f"invalid value. Available values are: {','.join(_BACKEND_KINDS)}"
_LOOPBACK = {"127.0.0.1", "0.0.0.0", "::"}


def check_dataplane(dataplane: Dataplane) -> Violations:
    if "networking" not in dataplane.model_fields_set:
        yield Violation("networking", MUST_BE_DEFINED)
        return
    networking = dataplane.networking
    yield from _check_admin(networking)
    yield from _check_kind(dataplane)
    yield from check_address("networking.address", networking.address)
    if networking.advertised_address:
        yield from check_address("networking.advertisedAddress", networking.advertised_address)
    for index, inbound in enumerate(networking.inbound):
        yield from _check_inbound(f"networking.inbound[{index}]", inbound, networking)
    for index, outbound in enumerate(networking.outbound):
        yield from _check_outbound(f"networking.outbound[{index}]", outbound)
    if networking.transparent_proxying is not None:
        yield from _check_transparent_proxying(networking.transparent_proxying)
    if dataplane.probes is not None:
        yield from _check_probes(dataplane.probes)
    if dataplane.metrics is not None:
        yield from check_metrics_backend("metrics", dataplane.metrics)


def _check_admin(networking: Networking) -> Violations:
    port = networking.admin.port if networking.admin else 0
    if not port:
        return
    path = "networking.admin.port"
    yield from check_port(path, port)
    listeners = ((networking.inbound_address(inbound), inbound.port) for inbound in networking.inbound)
    workloads = (networking.workload(inbound) for inbound in networking.inbound)
    if any(used == port and address in _LOOPBACK for address, used in (*listeners, *workloads)):
        yield Violation(path, "must differ from inbound")
    if any(outbound.port == port and outbound.address in _LOOPBACK for outbound in networking.outbound):
        yield Violation(path, "must differ from outbound")


def _check_kind(dataplane: Dataplane) -> Violations:
    """What a proxy must and must not have as a sidecar, a delegated or a builtin gateway."""
    networking, gateway = dataplane.networking, dataplane.networking.gateway
    if gateway is None:
        if not networking.inbound:
            yield Violation("networking", "has to contain at least one inbound interface or gateway")
        return
    kind = f"{gateway.type.lower()} gateways"
    if networking.inbound:
        yield Violation("networking.inbound", f"inbound cannot be defined for {kind}")
    if gateway.type == "BUILTIN":
        if networking.outbound:
            yield Violation("networking.outbound", f"outbound cannot be defined for {kind}")
        if dataplane.probes is not None:
            yield Violation("probes", f"probes cannot be defined for {kind}")
    yield from _check_gateway(gateway)


def _check_gateway(gateway: Gateway) -> Violations:
    path = "networking.gateway.tags"
    protocol = gateway.tags.get(PROTOCOL_TAG, "tcp")
    if protocol != "tcp":
        yield Violation(
            key(path, PROTOCOL_TAG), f'other values than tcp are not allowed, provided value "{protocol}"'
        )
    yield from check_tags(path, gateway.tags, require_service=True)


def _check_inbound(path: str, inbound: Inbound, networking: Networking) -> Violations:
    yield from check_port(f"{path}.port", inbound.port)
    if inbound.service_port:
        yield from check_port(f"{path}.servicePort", inbound.service_port)
    if inbound.address:
        yield from check_ip(f"{path}.address", inbound.address)
    if inbound.service_address:
        yield from check_ip(f"{path}.serviceAddress", inbound.service_address, "serviceAddress")
        same_port = inbound.service_port in {0, inbound.port}
        if same_port and inbound.service_address in {networking.address, inbound.address}:
            yield Violation(
                f"{path}.serviceAddress", "serviceAddress and servicePort has to differ from address and port"
            )
    yield from check_protocol(f"{path}.tags", inbound.tags)
    yield from check_tags(f"{path}.tags", inbound.tags)
    if inbound.protocol and inbound.protocol not in PROTOCOLS:
        yield Violation(f"{path}.protocol", f"has an invalid value. {allowed(sorted(PROTOCOLS))}")
    if inbound.service_probe is not None:
        yield from _check_service_probe(f"{path}.serviceProbe", inbound.service_probe)
    if SERVICE_TAG not in inbound.tags:
        yield Violation(key(f"{path}.tags", SERVICE_TAG), "tag has to exist")


def _check_service_probe(path: str, probe: ServiceProbe) -> Violations:
    for field, text in (("interval", probe.interval), ("timeout", probe.timeout)):
        if text is not None and not positive_duration(text):
            yield Violation(f"{path}.{field}", POSITIVE)
    thresholds = (
        ("unhealthyThreshold", probe.unhealthy_threshold),
        ("healthyThreshold", probe.healthy_threshold),
    )
    for field, threshold in thresholds:
        if threshold is not None and threshold <= 0:
            yield Violation(f"{path}.{field}", POSITIVE)


def _check_outbound(path: str, outbound: Outbound) -> Violations:
    yield from check_port(f"{path}.port", outbound.port)
    if outbound.address:
        yield from check_ip(f"{path}.address", outbound.address)
    if outbound.backend_ref is None:
        yield from check_tags(f"{path}.tags", outbound.tags, require_service=True)
        return
    yield from _check_backend_ref(f"{path}.backendRef", outbound.backend_ref)
    if outbound.tags:
        yield Violation(f"{path}.backendRef", "both backendRef and tags/service cannot be defined")


def _check_backend_ref(path: str, ref: BackendRef) -> Violations:
    if ref.kind not in _BACKEND_KINDS:
        yield Violation(f"{path}.kind", _BAD_KIND)
    if not ref.name and not ref.labels:
        yield Violation(path, "either 'name' or 'labels' should be specified")
    if ref.kind != "MeshExternalService":
        yield from check_port(f"{path}.port", ref.port)


def _check_transparent_proxying(proxying: TransparentProxying) -> Violations:
    path = "networking.transparentProxying"
    ports = (
        ("redirectPortInbound", proxying.redirect_port_inbound),
        ("redirectPortOutbound", proxying.redirect_port_outbound),
    )
    for field, port in ports:
        if not 0 <= port <= 65535:
            yield Violation(f"{path}.{field}", "port must be in the range [0, 65535]")
    refs = proxying.reachable_backends.refs if proxying.reachable_backends else ()
    for index, ref in enumerate(refs):
        yield from _check_reachable_backend(f"{path}.reachableBackends.refs[{index}]", ref)


def _check_reachable_backend(path: str, ref: ReachableBackendRef) -> Violations:
    if ref.kind not in _BACKEND_KINDS:
        yield Violation(f"{path}.kind", _BAD_KIND)
    if ref.name and not is_identifier(ref.name):
        yield Violation(f"{path}.name", BAD_IDENTIFIER)
    if not ref.name and ref.namespace:
        yield Violation(f"{path}.name", "name is required, when namespace is defined")
    if not ref.name and not ref.namespace and not ref.labels:
        yield Violation(f"{path}.name", "name or labels are required")
    if (ref.name or ref.namespace) and ref.labels:
        yield Violation(f"{path}.labels", "labels cannot be defined when name is specified")
    if ref.port is not None:
        yield from check_port(f"{path}.port", ref.port)


def _check_probes(probes: Probes) -> Violations:
    yield from check_port("probes.port", probes.port)
    for index, endpoint in enumerate(probes.endpoints):
        path = f"probes.endpoints[{index}]"
        yield from check_port(f"{path}.inboundPort", endpoint.inbound_port)
        for field, value in (("inboundPath", endpoint.inbound_path), ("path", endpoint.path)):
            if not value.startswith("/"):
                yield Violation(f"{path}.{field}", "should be a valid URL Path")
