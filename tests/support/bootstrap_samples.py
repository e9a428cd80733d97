"""One set of parameters for each kind of bootstrap, with nothing left out."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from kumadp_bootstrap.params import BootstrapParams, GatewayParams

GOLDEN_DIR = Path(__file__).parent.parent / "golden" / "bootstrap"
CA_PEM = (GOLDEN_DIR / "ca.pem").read_text()
TOKEN = "eyJhbGciOiJSUzI1NiJ9.e30.c2lnbmF0dXJl"
RELAY_SOCKET = "/tmp/kuma-dp-1/relay.sock"

_RESOURCE = {
    "type": "Dataplane",
    "mesh": "default",
    "name": "web-1",
    "networking": {
        "address": "127.0.0.1",
        "inbound": [{"port": 10001, "servicePort": 8080, "tags": {"kuma.io/service": "web"}}],
    },
}

SIDECAR = BootstrapParams(
    proxy_type="dataplane",
    mesh="default",
    name="web-1",
    service="web",
    resource=json.dumps(_RESOURCE),
    xds_host="localhost",
    xds_port=5678,
    ca_pem=CA_PEM,
    token=TOKEN,
    token_path="/tmp/kuma-dp-1/token",
    admin_port=9901,
    dns_port=15054,
    readiness_port=9902,
    workdir="/tmp/kuma-dp-1",
    features=("feature-reuse-port", "feature-delta-grpc"),
    version={
        "kumaDp": {"version": "2.13.0", "gitTag": "", "gitCommit": "", "buildDate": ""},
        "envoy": {"version": "1.40.0", "build": "build", "kumaDpCompatible": True},
    },
    dynamic_metadata={"HOST_IP": "10.0.0.1"},
    system_ca_path="/etc/ssl/certs/ca-certificates.crt",
    transparent_proxy={
        "ipFamilyMode": "dualstack",
        "redirect": {"inbound": {"enabled": True, "port": 15006}},
    },
)
ZONE_PROXY = BootstrapParams(
    proxy_type="ingress",
    name="zone-proxy-1",
    xds_host="127.0.0.1",
    xds_port=5678,
    ca_pem=CA_PEM,
    token=TOKEN,
    readiness_port=9902,
    workdir="/tmp/kuma-dp-2",
)

SAMPLES: dict[str, BootstrapParams] = {
    "sidecar-token": SIDECAR,
    "sidecar-no-token": replace(SIDECAR, token="", token_path=""),
    "sidecar-hds": replace(SIDECAR, hds=True),
    "sidecar-google-grpc": replace(SIDECAR, reloadable_token=True, hds=True, xds_host="::1"),
    "sidecar-sotw-ipv4": replace(SIDECAR, delta=False, xds_ipv4_only=True),
    "sidecar-unified-names": replace(SIDECAR, unified_names=True),
    "gateway": replace(SIDECAR, gateway=GatewayParams(max_heap_size_bytes=1 << 30)),
    "ingress": ZONE_PROXY,
    "egress": replace(ZONE_PROXY, proxy_type="egress"),
}
