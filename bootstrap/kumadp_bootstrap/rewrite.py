"""Puts the agent's relay between Envoy and the control plane, and takes the token out (DESIGN.md 3.4).

Only dictionaries: it runs before Envoy is started, where importing protobuf would cost more than the work.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

from kumadp_bootstrap import protojson, static, upstream
from kumadp_bootstrap.paths import check_socket_path
from kumadp_bootstrap.protojson import Message
from kumadp_bootstrap.upstream import SanMatcher, Upstream
from kumadp_bootstrap.yamltext import Document
from kumamesh.errors import UserError

__all__ = ["Rewritten", "SanMatcher", "Upstream", "admin_address", "rewrite"]

_TOKEN_KEY = "authorization"  # noqa: S105  # the name of a header
_NO_ADS = (
    "the control plane's bootstrap has no ads_config with a gRPC service that can be relayed: "
    "check that --cp-address names a Kuma control plane"
)


@dataclass(frozen=True, slots=True)
class Rewritten:
    """The bootstrap for Envoy, and whom the relay must dial in its place."""

    document: Document
    upstream: Upstream
    token_was_present: bool


def rewrite(bootstrap: Document, relay_socket: str) -> Rewritten:
    """Send ADS and HDS to the relay's Unix socket. The given document is not changed. Raises UserError."""
    check_socket_path(relay_socket)
    document = copy.deepcopy(bootstrap)
    sources = _sources(document)
    services = [_service(source) for source in sources]
    resources = protojson.message(document, "static_resources")
    upstreams = {_upstream(service, resources) for service in services}
    if len(upstreams) > 1:
        raise UserError(
            "the bootstrap sends ADS and HDS to different control planes, which cannot be relayed"
        )
    for source in sources:
        protojson.put(source, "grpc_services", [])
    relay_name = _replace_clusters(document, resources, services, relay_socket)
    for source, service in zip(sources, services, strict=True):
        protojson.put(source, "grpc_services", [_relayed(service, relay_name)])
    protojson.put(document, "static_resources", resources)
    return Rewritten(document, upstreams.pop(), any(_has_token(service) for service in services))


def admin_address(document: Document) -> tuple[str, int]:
    """(host, port) of Envoy's admin endpoint; raises UserError when it is not a TCP address."""
    address = protojson.message(protojson.message(document, "admin"), "address")
    if protojson.get(address, "socket_address") is None:
        raise UserError(
            "the control plane's bootstrap gives Envoy no admin port, without which the proxy cannot be "
            "supervised: set networking.admin.port, or KUMA_BOOTSTRAP_SERVER_PARAMS_ADMIN_PORT there"
        )
    return upstream.socket_address(address)


def _sources(document: Document) -> list[Message]:
    """ads_config and, if there is one, hds_config."""
    ads = protojson.message(protojson.message(document, "dynamic_resources"), "ads_config")
    hds = protojson.message(document, "hds_config")
    if not ads:
        raise UserError(_NO_ADS)
    return [ads, hds] if hds else [ads]


def _service(source: Message) -> Message:
    services = protojson.messages(source, "grpc_services")
    if len(services) != 1:
        raise UserError(_NO_ADS)
    return services[0]


def _upstream(service: Message, resources: Message) -> Upstream:
    google = protojson.message(service, "google_grpc")
    if google:
        return upstream.from_google_grpc(google)
    envoy = protojson.message(service, "envoy_grpc")
    name = protojson.text(envoy, "cluster_name")
    for cluster in protojson.messages(resources, "clusters"):
        if name and protojson.text(cluster, "name") == name:
            secrets = {
                protojson.text(item, "name"): item for item in protojson.messages(resources, "secrets")
            }
            return upstream.from_cluster(cluster, secrets, protojson.text(envoy, "authority"))
    raise UserError(_NO_ADS)


def _replace_clusters(
    document: Document, resources: Message, services: list[Message], relay_socket: str
) -> str:
    """Put the relay's cluster where the control plane's was; the name of it.

    Cluster and CA go, unless something else in the bootstrap refers to them.
    """
    dialed = {
        protojson.text(protojson.message(service, "envoy_grpc"), "cluster_name") for service in services
    }
    clusters = protojson.messages(resources, "clusters")
    removed = _remove_unused(document, resources, "clusters", dialed)
    left = protojson.messages(resources, "clusters")
    names = {protojson.text(cluster, "name") for cluster in left}
    name = _relay_name(services[0], names)
    position = next((i for i, cluster in enumerate(clusters) if cluster in removed), len(left))
    relay = static.pipe_cluster(name, relay_socket)
    protojson.put(resources, "clusters", [*left[:position], relay, *left[position:]])
    _remove_unused(document, resources, "secrets", set(protojson.strings(removed)))
    return name


def _remove_unused(document: Document, resources: Message, field: str, names: set[str]) -> list[Message]:
    """Remove the named entries of a static list that nothing refers to; the entries removed."""
    entries = protojson.messages(resources, field)
    candidates = [entry for entry in entries if protojson.text(entry, "name") in names]
    others = [entry for entry in entries if entry not in candidates]
    protojson.put(resources, field, others)
    configuration = {key: value for key, value in document.items() if key != "node"}
    used = set(protojson.strings(configuration))
    removed = [entry for entry in candidates if protojson.text(entry, "name") not in used]
    left = [entry for entry in entries if entry not in removed]
    if left:
        protojson.put(resources, field, left)
    else:
        protojson.drop(resources, field)
    return removed


def _relay_name(service: Message, taken: set[str]) -> str:
    """The control plane's own name for the cluster, so that Envoy's statistics keep theirs."""
    name = protojson.text(protojson.message(service, "envoy_grpc"), "cluster_name")
    if not name:
        unified = any(other.startswith("system_") for other in taken)
        name = "system_ads" if unified else "ads_cluster"
    return f"{name}_relay" if name in taken else name


def _relayed(service: Message, cluster_name: str) -> Message:
    relayed = dict(service)
    envoy = dict(protojson.message(service, "envoy_grpc"))
    protojson.put(envoy, "cluster_name", cluster_name)
    protojson.drop(relayed, "google_grpc")
    protojson.put(relayed, "envoy_grpc", envoy)
    metadata = [entry for entry in protojson.messages(service, "initial_metadata") if not _is_token(entry)]
    if metadata:
        protojson.put(relayed, "initial_metadata", metadata)
    else:
        protojson.drop(relayed, "initial_metadata")
    return relayed


def _has_token(service: Message) -> bool:
    credentials = protojson.messages(protojson.message(service, "google_grpc"), "call_credentials")
    return bool(credentials) or any(map(_is_token, protojson.messages(service, "initial_metadata")))


def _is_token(entry: Message) -> bool:
    return protojson.text(entry, "key").lower() == _TOKEN_KEY
