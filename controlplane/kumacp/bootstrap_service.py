"""What POST /bootstrap answers (contract 1.2-1.5): facts in, status and body out.

Kuma looks at the presence of a token alone. Here a bad one is refused at once, 401 or 403 with the reason, by
the same decision that the stream takes later; and what a client got wrong is never a 500 without a word.
"""

from __future__ import annotations

import base64
import ipaddress
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from kumacp.bootstrap_metrics import aggregate
from kumacp.bootstrap_request import BootstrapRequest, parse_request
from kumacp.dpserver.auth import AuthModes, authenticate
from kumacp.dpserver.node import ProxyType, parse_node
from kumacp.dpserver.refusal import Refused
from kumacp.identity.server_cert import SubjectNames, is_ca
from kumacp.identity.signing_keys import KeyRing
from kumacp.settings import CpSettings
from kumacp.xds.transparent import BIND_OUTBOUNDS, IN_METADATA, parse_redirection
from kumadp_bootstrap.params import BootstrapParams, GatewayParams
from kumadp_bootstrap.render import render
from kumamesh.errors import UserError, one_line
from kumamesh.names import DEFAULT_MESH, node_id
from kumamesh.resource import InvalidResource, Resource, ResourceKey
from kumamesh.resources.dataplane import Dataplane
from kumamesh.resources.mesh import Mesh
from kumamesh.resources.rest import from_rest
from kumamesh.resources.yamldoc import load_documents

JSON_TYPE = "application/json"
YAML_TYPE = "text/x-yaml"
TEXT_TYPE = "text/plain; charset=utf-8"

MAX_RESOURCE_CHARS = 2 * 2**20
"""A Dataplane with 10,000 outbounds has half of that."""

_SHOWN_CHARS = 300
UNIFIED_NAMES = "feature-unified-resource-naming"

_UNPROVEN = (
    "Dataplane Token is required. Generate token using 'kumactl generate dataplane-token > /path/file' and "
    "provide it via --dataplane-token-file=/path/file argument to Kuma DP"
)
_ZONE_HINT = (
    " (a zone {kind} takes one of 'kumactl generate zone-token --zone={zone} --scope={kind} > /path/file')"
)
_PROXY_TYPES = ", ".join(kind.value for kind in ProxyType)


@dataclass(frozen=True, slots=True)
class BootstrapFacts:
    """What the answer depends on beside the request.

    `port` is the one that the data-plane server listens on, `certificate_names` and `ca_pem` are those of its
    certificate, `lookup` gives stored resources (`wanted` says which), `now` is in seconds since the epoch.
    """

    settings: CpSettings
    port: int
    certificate_names: SubjectNames
    ca_pem: str
    keys: KeyRing
    now: float
    lookup: Callable[[ResourceKey], Resource | None]
    reloadable_tokens: bool = False
    host_ipv4_only: bool = False


@dataclass(frozen=True, slots=True)
class BootstrapAnswer:
    """An HTTP answer; without a body there is no content type."""

    status: int
    content_type: str = ""
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class _Proxy:
    """The proxy that asks. `document` is the JSON text of the resource it brought, "" when it is stored."""

    type: ProxyType
    resource: Resource
    document: str
    mesh: Mesh


class _Refusal(Exception):
    def __init__(self, status: int, text: str = "") -> None:
        super().__init__(text)
        # Parts of it come from the client, and it is going to be a line in the log of an agent.
        self.answer = BootstrapAnswer(status, TEXT_TYPE if text else "", one_line(text).encode())


def answer(body: bytes, *, accept: str, host_header: str, facts: BootstrapFacts) -> BootstrapAnswer:
    """The answer to a request with this body and these headers."""
    try:
        request = parse_request(body)
    except ValueError:
        return BootstrapAnswer(400)
    try:
        proxy_type = _proxy_type(request)
        _require_token(request, proxy_type, facts)
        host = _require_host(host_header, facts)
        proxy = _proxy(request, proxy_type, facts)
        _authenticate(request, proxy, facts)
        ca_pem = _ca(request, facts)
    except _Refusal as refusal:
        return refusal.answer
    bootstrap = render(_params(request, proxy, facts, host=host, ca_pem=ca_pem)).encode()
    if accept.strip() != JSON_TYPE:
        return BootstrapAnswer(200, YAML_TYPE, bootstrap)
    return BootstrapAnswer(200, JSON_TYPE, json.dumps(_json_answer(bootstrap, proxy)).encode())


def wanted(body: bytes) -> tuple[ResourceKey, ...]:
    """What `answer` may look up for this body, so that it can be fetched before."""
    try:
        request = parse_request(body)
        proxy_type = _proxy_type(request)
        if request.dataplane_resource:
            keys = (_brought(request, proxy_type)[0].key,)
        else:
            keys = (_stored_key(request, proxy_type),)
    except (ValueError, _Refusal):
        return ()
    return (*keys, _mesh_key(keys[0].mesh)) if proxy_type is ProxyType.DATAPLANE else keys


def asker(body: bytes) -> str:
    """Who asks by what it says itself, as logs name proxies: `mesh.name`; "" when it gives no name."""
    try:
        request = parse_request(body)
        mesh = _stored_key(request, _proxy_type(request)).mesh
    except (ValueError, _Refusal):
        return ""
    return f"{mesh}.{request.name}"[:_SHOWN_CHARS] if request.name else ""


def _proxy_type(request: BootstrapRequest) -> ProxyType:
    try:
        return ProxyType(request.proxy_type or ProxyType.DATAPLANE.value)
    except ValueError:
        raise _Refusal(422, f"proxyType: must be one of {_PROXY_TYPES}") from None


def _modes(facts: BootstrapFacts) -> AuthModes:
    return AuthModes(facts.settings.dp_proxy_auth, facts.settings.zone_proxy_auth)


def _require_token(request: BootstrapRequest, proxy_type: ProxyType, facts: BootstrapFacts) -> None:
    given = request.dataplane_token or request.dataplane_token_path
    if not given and _modes(facts).required(proxy_type):
        hint = _ZONE_HINT.format(kind=proxy_type.value, zone=facts.settings.zone_name)
        raise _Refusal(422, _UNPROVEN if proxy_type is ProxyType.DATAPLANE else _UNPROVEN + hint)


def xds_host(host_header: str, settings: CpSettings, names: SubjectNames) -> str | None:
    """What Envoy will dial; None when it is not a name in the certificate, because Envoy would refuse it."""
    host = _asked_host(host_header, settings)
    known = {_canonical(name) for name in (*names.dns, *names.ips)}
    return host if host in known or f"*.{host.partition('.')[2]}" in known else None


def _require_host(host_header: str, facts: BootstrapFacts) -> str:
    names = facts.certificate_names
    host = xds_host(host_header, facts.settings, names)
    if host is not None:
        return host
    shown = " ".join(f'"{name}"' for name in (*names.dns, *names.ips))
    raise _Refusal(
        400,
        "A data plane proxy is trying to connect to the control plane using "
        f'"{_asked_host(host_header, facts.settings)}" address, but the certificate in the control plane has '
        f"the following SANs [{shown}]. Use one of these in --cp-address, or give the control plane a "
        "certificate with this address (KUMA_DP_SERVER_TLS_CERT_FILE), or set "
        "KUMA_BOOTSTRAP_SERVER_PARAMS_XDS_HOST there",
    )


def _asked_host(host_header: str, settings: CpSettings) -> str:
    return _canonical(settings.bootstrap_xds_host or _without_port(host_header))


def _without_port(header: str) -> str:
    if header.startswith("["):
        return header[1:].partition("]")[0]
    return header.partition(":")[0] if header.count(":") == 1 else header


def _canonical(host: str) -> str:
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return host.lower()


def _proxy(request: BootstrapRequest, proxy_type: ProxyType, facts: BootstrapFacts) -> _Proxy:
    if not request.dataplane_resource:
        resource = facts.lookup(_stored_key(request, proxy_type))
        mesh = _mesh(resource, proxy_type, facts) if resource else None
        if resource is None or mesh is None:
            raise _Refusal(404)
        _check_outbounds(request, resource)
        return _Proxy(proxy_type, resource, "", mesh)
    resource, document = _brought(request, proxy_type)
    mesh = _mesh(resource, proxy_type, facts)
    if mesh is None:
        _violation("mesh", f'mesh "{resource.mesh}" does not exist')
    return _Proxy(proxy_type, resource, document, mesh)


def _brought(request: BootstrapRequest, proxy_type: ProxyType) -> tuple[Resource, str]:
    """The resource in the request, and its JSON text."""
    document = _document(request, proxy_type)
    try:
        resource = from_rest(document)
    except InvalidResource as error:
        raise _Refusal(422, str(error)) from None
    if resource.type != proxy_type.resource_type:
        _violation("type", f'must be "{proxy_type.resource_type}" for the proxy type "{proxy_type.value}"')
    _check_outbounds(request, resource)
    return resource, json.dumps(document, separators=(",", ":"))


def _stored_key(request: BootstrapRequest, proxy_type: ProxyType) -> ResourceKey:
    mesh = request.mesh or DEFAULT_MESH
    return ResourceKey(
        proxy_type.resource_type, mesh if proxy_type is ProxyType.DATAPLANE else "", request.name
    )


def _mesh_key(mesh: str) -> ResourceKey:
    return ResourceKey("Mesh", "", mesh)


def _mesh(resource: Resource, proxy_type: ProxyType, facts: BootstrapFacts) -> Mesh | None:
    """The proxy's mesh. Zone proxies belong to none, which is rendered as a mesh without settings."""
    if proxy_type is not ProxyType.DATAPLANE:
        return Mesh()
    found = facts.lookup(_mesh_key(resource.mesh))
    return found.spec if found else None


def _document(request: BootstrapRequest, proxy_type: ProxyType) -> dict[str, Any]:
    """The resource that the proxy brought, with the mesh and name of the request if it has none."""
    document = _parse(request.dataplane_resource)
    if "apiVersion" in document:
        return document
    defaults: dict[str, Any] = {"type": proxy_type.resource_type, "name": request.name}
    if proxy_type is ProxyType.DATAPLANE:
        defaults["mesh"] = request.mesh or DEFAULT_MESH
    return {**document, **{key: document.get(key) or default for key, default in defaults.items()}}


def _parse(text: str) -> dict[str, Any]:
    """JSON as agents send it, or YAML."""
    if len(text) > MAX_RESOURCE_CHARS:
        _violation("dataplaneResource", f"is longer than {MAX_RESOURCE_CHARS >> 20} MiB")
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        try:
            documents = load_documents(text, "dataplaneResource")
        except UserError as error:
            raise _Refusal(422, str(error)) from None
        document = documents[0] if len(documents) == 1 else None
    if not isinstance(document, dict):
        _violation("dataplaneResource", "must be one resource")
    return document


def _check_outbounds(request: BootstrapRequest, resource: Resource) -> None:
    """A proxy has the outbounds that its Dataplane declares, or the virtual addresses of its mesh."""
    if not isinstance(resource.spec, Dataplane):
        return
    try:
        redirection = parse_redirection(request.dataplane_config)
    except ValueError as error:
        raise _Refusal(422, str(error)) from None
    networking = resource.spec.networking
    in_metadata = IN_METADATA in request.features and bool(redirection.outbound)
    if networking.outbound and (networking.transparent_proxying is not None or in_metadata):
        _violation("outbound", "should be empty since dataplane is in Transparent Proxying mode")
    if networking.outbound and BIND_OUTBOUNDS in request.features:
        _violation("outbound", "should be empty since the addresses of all services of the mesh are bound")


def _authenticate(request: BootstrapRequest, proxy: _Proxy, facts: BootstrapFacts) -> None:
    """A token that is only named by its path cannot be looked at here; the stream will."""
    if not request.dataplane_token or not _modes(facts).required(proxy.type):
        return
    resource, zone = proxy.resource, facts.settings.zone_name
    try:
        node = parse_node(node_id(resource.mesh, resource.name), {"dataplane.proxyType": proxy.type.value})
        authenticate(node, [request.dataplane_token], facts.keys, resource, zone=zone, now=facts.now)
    except Refused as error:
        raise _Refusal(403 if error.fault == "denied" else 401, error.message) from None


def _ca(request: BootstrapRequest, facts: BootstrapFacts) -> str:
    """What Envoy trusts: the CA that the agent was given, else the control plane's own certificate."""
    ca_pem = request.ca_cert or facts.ca_pem
    try:
        usable = is_ca(ca_pem.encode())
    except ValueError:
        raise _Refusal(
            400, "caCert: is not a certificate in PEM form; check the file given with --ca-cert-file"
        ) from None
    if not usable:
        raise _Refusal(
            400,
            "A data plane proxy is trying to verify the control plane using the certificate which is not a "
            "certificate authority (basic constraint 'CA' is set to 'false'). Give the certificate of the "
            "authority that signed it with --ca-cert-file",
        )
    return ca_pem


def _params(
    request: BootstrapRequest, proxy: _Proxy, facts: BootstrapFacts, *, host: str, ca_pem: str
) -> BootstrapParams:
    settings, spec = facts.settings, proxy.resource.spec
    admin = spec.networking.admin
    exclusive = proxy.mesh.mesh_services.mode == "Exclusive"
    return BootstrapParams(
        proxy_type=proxy.type.value,
        mesh=proxy.resource.mesh,
        name=proxy.resource.name,
        service=next(iter(spec.services()), "") if isinstance(spec, Dataplane) else "",
        resource=proxy.document,
        xds_host=host,
        xds_port=settings.bootstrap_xds_port or facts.port,
        xds_ipv4_only=facts.host_ipv4_only,
        ca_pem=ca_pem,
        token=request.dataplane_token,
        token_path=request.dataplane_token_path,
        reloadable_token=facts.reloadable_tokens,
        hds=settings.hds_enabled,
        admin_address=settings.bootstrap_admin_address,
        admin_port=(admin.port if admin else 0) or settings.bootstrap_admin_port,
        admin_access_log_path=settings.bootstrap_admin_access_log_path,
        dns_port=request.dns_port,
        readiness_port=request.readiness_port,
        app_probe_proxy=request.app_probe_proxy_disabled,
        workdir=request.workdir,
        features=request.features,
        version=request.version.model_dump(by_alias=True),
        dynamic_metadata=request.dynamic_metadata,
        metrics_cert_path=request.metrics_resources.cert_path,
        metrics_key_path=request.metrics_resources.key_path,
        system_ca_path=request.system_ca_path,
        spire_socket_path=request.spire_resources.socket_path,
        transparent_proxy=request.dataplane_config,
        ipv6_enabled=request.ipv6_enabled,
        gateway=_gateway(request, proxy),
        unified_names=exclusive and UNIFIED_NAMES in request.features,
    )


def _gateway(request: BootstrapRequest, proxy: _Proxy) -> GatewayParams | None:
    spec = proxy.resource.spec
    gateway = spec.networking.gateway if isinstance(spec, Dataplane) else None
    if gateway is None or gateway.type != "BUILTIN":
        return None
    return GatewayParams(max_heap_size_bytes=request.resources.max_heap_size_bytes)


def _json_answer(bootstrap: bytes, proxy: _Proxy) -> Mapping[str, Any]:
    spec = proxy.resource.spec
    sidecar = isinstance(spec, Dataplane)
    return {
        "bootstrap": base64.b64encode(bootstrap).decode(),
        "kumaSidecarConfiguration": {
            "networking": {
                "corefileTemplate": None,
                "address": spec.networking.address if sidecar else "",
            },
            "metrics": {"aggregate": aggregate(proxy.mesh, spec) if sidecar else []},
        },
    }


def _violation(field: str, message: str) -> NoReturn:
    raise _Refusal(422, f"{field}: {message}")
