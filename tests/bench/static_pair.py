"""A hand-written static Envoy pair with the filters, RBAC and mTLS that our sidecars have: the yardstick."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

TYPE = "type.googleapis.com/envoy.extensions"
ROUTER = {
    "name": "envoy.filters.http.router",
    "typed_config": {"@type": f"{TYPE}.filters.http.router.v3.Router"},
}


def _tags(service: str) -> dict[str, str]:
    """What a sidecar of the service has: in its certificate, and as a client in x-kuma-tags."""
    return {"kuma.io/protocol": "http", "kuma.io/service": service, "kuma.io/zone": "default"}


def write_identities(folder: Path) -> None:
    """ca.pem, and NAME.pem and NAME.key for web and backend, with the names of a sidecar's certificate."""
    now = datetime.datetime.now(datetime.UTC)
    ca_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "default")])
    until = now + datetime.timedelta(days=1)

    def builder(subject: x509.Name, subject_key: Any, *uris: str) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder(issuer, subject, subject_key.public_key(), x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(minutes=1))
            .not_valid_after(until)
            .add_extension(
                x509.SubjectAlternativeName([x509.UniformResourceIdentifier(u) for u in uris]), critical=True
            )
        )

    ca = builder(issuer, ca_key, "spiffe://default").add_extension(
        x509.BasicConstraints(True, None), critical=True
    )
    (folder / "ca.pem").write_bytes(ca.sign(ca_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    for service in ("web", "backend"):
        key = ec.generate_private_key(ec.SECP256R1())
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
        uris = (f"spiffe://default/{service}", *(f"kuma://{tag}/{at}" for tag, at in _tags(service).items()))
        leaf = builder(x509.Name([]), key, *uris).add_extension(usage, critical=False)
        pem = leaf.sign(ca_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        (folder / f"{service}.pem").write_bytes(pem)
        (folder / f"{service}.key").write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )


def app_bootstrap(port: int) -> dict[str, Any]:
    """An application fast enough not to be what is measured: Envoy's direct response."""
    route = {"match": {"prefix": "/"}, "direct_response": {"status": 200, "body": {"inline_string": "ok"}}}
    return _bootstrap([_listener(port, [_hcm("app", route)])], [])


def client_bootstrap(folder: Path, port: int, server_port: int) -> dict[str, Any]:
    retry = {
        "retry_on": "gateway-error,connect-failure,refused-stream",
        "num_retries": 5,
        "per_try_timeout": "16s",
    }
    tags = "".join(f"&{tag}={value}&" for tag, value in _tags("web").items())
    route = {
        "match": {"prefix": "/"},
        "route": {"cluster": "backend", "timeout": "15s", "retry_policy": retry},
        "request_headers_to_add": [{"header": {"key": "x-kuma-tags", "value": tags}}],
    }
    tls = {
        "common_tls_context": _tls(folder, "web", {"exact": "spiffe://default/backend"})
        | {"alpn_protocols": ["kuma"]},
        "sni": "backend{mesh=default}",
        "@type": f"{TYPE}.transport_sockets.tls.v3.UpstreamTlsContext",
    }
    cluster = _cluster("backend", server_port, http2=True) | {
        "transport_socket": {"name": "envoy.transport_sockets.tls", "typed_config": tls}
    }
    return _bootstrap([_listener(port, [_hcm("web", route)])], [cluster])


def server_bootstrap(folder: Path, port: int, app_port: int) -> dict[str, Any]:
    tls = {
        "require_client_certificate": True,
        "common_tls_context": _tls(folder, "backend", {"prefix": "spiffe://default/"}),
        "@type": f"{TYPE}.transport_sockets.tls.v3.DownstreamTlsContext",
    }
    rbac = {
        "name": "envoy.filters.network.rbac",
        "typed_config": {
            "@type": f"{TYPE}.filters.network.rbac.v3.RBAC",
            "stat_prefix": "rbac.",
            "rules": {
                "policies": {"allow-all": {"permissions": [{"any": True}], "principals": [{"any": True}]}}
            },
        },
    }
    route = {
        "match": {"prefix": "/"},
        "route": {"cluster": "app", "timeout": "0s"},
        "request_headers_to_remove": ["x-kuma-tags"],
    }
    hcm = _hcm("backend", route)
    hcm["typed_config"] |= {
        "forward_client_cert_details": "SANITIZE_SET",
        "set_current_client_cert_details": {"uri": True},
    }
    listener = _listener(port, [rbac, hcm])
    listener["filter_chains"][0]["transport_socket"] = {
        "name": "envoy.transport_sockets.tls",
        "typed_config": tls,
    }
    return _bootstrap([listener], [_cluster("app", app_port, http2=False)])


def write(path: Path, document: dict[str, Any]) -> Path:
    path.write_text(yaml.safe_dump(document))
    return path


def _bootstrap(listeners: list[Any], clusters: list[Any]) -> dict[str, Any]:
    return {"static_resources": {"listeners": listeners, "clusters": clusters}}


def _listener(port: int, filters: list[Any]) -> dict[str, Any]:
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    return {"name": f"listener-{port}", "address": address, "filter_chains": [{"filters": filters}]}


def _hcm(prefix: str, route: dict[str, Any]) -> dict[str, Any]:
    config = {
        "@type": f"{TYPE}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": prefix,
        "route_config": {"virtual_hosts": [{"name": prefix, "domains": ["*"], "routes": [route]}]},
        "http_filters": [ROUTER],
    }
    return {"name": "envoy.filters.network.http_connection_manager", "typed_config": config}


def _cluster(name: str, port: int, *, http2: bool) -> dict[str, Any]:
    protocol = "http2_protocol_options" if http2 else "http_protocol_options"
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    return {
        "name": name,
        "connect_timeout": "5s",
        "type": "STATIC",
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
        },
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": f"{TYPE}.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {protocol: {}},
            }
        },
    }


def _tls(folder: Path, service: str, matcher: dict[str, str]) -> dict[str, Any]:
    return {
        "tls_certificates": [
            {
                "certificate_chain": {"filename": str(folder / f"{service}.pem")},
                "private_key": {"filename": str(folder / f"{service}.key")},
            }
        ],
        "validation_context": {
            "trusted_ca": {"filename": str(folder / "ca.pem")},
            "match_typed_subject_alt_names": [{"san_type": "URI", "matcher": matcher}],
        },
    }
