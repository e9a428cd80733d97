"""Every kind of xDS resource as JSON, and a real Envoy's opinion on all of them."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from envoy.config.bootstrap.v3 import bootstrap_pb2
from google.protobuf import json_format

from envoy_binary import validate
from goldens import assert_golden
from kumamesh import xds
from mesh_pki import Pki
from static_envoy import MESSAGES, as_json, without_ads
from xds_cases import CA_PEM, CERTIFICATE_PEM, KEY_PEM, SYSTEM_CA_FILE, cases

GOLDENS = Path(__file__).parent / "xds"
CASES = cases()


def golden(name: str) -> Path:
    return GOLDENS / f"{name}.json"


@pytest.mark.parametrize("name", CASES)
def test_resource_is_the_golden_one(name: str) -> None:
    text = json.dumps(as_json(CASES[name]), indent=2, sort_keys=True)
    assert_golden(golden(name), text + "\n")


def test_there_is_no_golden_without_a_case() -> None:
    assert {path.stem for path in GOLDENS.glob("*.json")} == set(CASES)


def test_envoy_accepts_every_golden(tmp_path: Path) -> None:
    pki = Pki.create("default")
    certificate, key = pki.identity("web")
    pems = {CA_PEM: pki.ca, CERTIFICATE_PEM: certificate, KEY_PEM: key}
    trusted = tmp_path / "trusted.pem"
    trusted.write_bytes(pki.ca)
    resources: dict[str, list[Any]] = {kind: [] for kind in MESSAGES}
    for name, case in CASES.items():
        text = golden(name).read_text().replace(SYSTEM_CA_FILE, str(trusted))
        for stand_in, pem in pems.items():
            text = text.replace(base64.b64encode(stand_in).decode(), base64.b64encode(pem).decode())
        resource = json.loads(text)
        if resource.get("type") == "ORIGINAL_DST":
            # Written into a bootstrap, unlike those of CDS, it is set up before there is any ADS.
            resource = without_ads(resource)
        resources[case.type_url].append(resource)
    config = tmp_path / "bootstrap.json"
    config.write_text(json.dumps(bootstrap(resources)))
    json_format.Parse(config.read_text(), bootstrap_pb2.Bootstrap())
    validate(config)


def bootstrap(resources: dict[str, list[Any]]) -> dict[str, Any]:
    assignments = [
        {"name": f"of {one['clusterName']}", "type": "STATIC", "loadAssignment": one}
        for one in resources[xds.ENDPOINT]
    ]
    ads = {
        "name": "ads",
        "type": "STATIC",
        "typedExtensionProtocolOptions": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicitHttpConfig": {"http2ProtocolOptions": {}},
            }
        },
        "loadAssignment": {
            "clusterName": "ads",
            "endpoints": [{"lbEndpoints": [{"endpoint": {"address": {"pipe": {"path": "ads.sock"}}}}]}],
        },
    }
    return {
        "node": {"id": "default.web-1", "cluster": "web"},
        "dynamicResources": {
            "adsConfig": {
                "apiType": "DELTA_GRPC",
                "transportApiVersion": "V3",
                "grpcServices": [{"envoyGrpc": {"clusterName": "ads"}}],
            }
        },
        "staticResources": {
            "listeners": resources[xds.LISTENER],
            "clusters": [ads, *resources[xds.CLUSTER], *assignments],
            "secrets": resources[xds.SECRET],
        },
    }
