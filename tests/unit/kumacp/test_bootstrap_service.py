"""POST /bootstrap: what the answer holds, and for which address and CA."""

from __future__ import annotations

import base64
import json

import pytest

from bootstrap_requests import (
    ADMIN_CA,
    CERT,
    DATAPLANE,
    INGRESS,
    LEAF,
    MESH,
    ZONE_TOKEN,
    ask,
    body,
    bootstrap,
    facts,
    refusal,
)
from kumacp import bootstrap_service
from kumacp.bootstrap_service import BootstrapAnswer, BootstrapFacts
from kumacp.settings import CpSettings


class TestForms:
    def test_json_only_for_exactly_json(self) -> None:
        answer = ask(body(), accept="application/json")
        assert (answer.status, answer.content_type) == (200, "application/json")
        assert ask(body(), accept="application/json, */*").content_type == "text/x-yaml"
        content = json.loads(answer.body)
        assert base64.b64decode(content["bootstrap"]) == ask(body()).body
        assert content["kumaSidecarConfiguration"] == {
            "networking": {"corefileTemplate": None, "address": "192.168.0.1"},
            "metrics": {"aggregate": []},
        }

    def test_zone_proxies_have_no_address_there(self) -> None:
        request = body(INGRESS, mesh="", proxyType="ingress", dataplaneToken=ZONE_TOKEN)
        content = json.loads(ask(request, accept="application/json").body)
        assert content["kumaSidecarConfiguration"]["networking"]["address"] == ""

    @pytest.mark.parametrize(
        "broken", [b"", b"{", b"[]", b"null", b'{"mesh": 1}', b'{"features": "x"}', b"\xff"]
    )
    def test_no_request(self, broken: bytes) -> None:
        assert ask(broken) == BootstrapAnswer(400, "", b"")

    def test_nulls_are_absent(self) -> None:
        request = body(features=None, version=None, resources=None, workdir=None, dataplaneTokenPath=None)
        assert bootstrap(request)["node"]["metadata"]["features"] == []


class TestContent:
    def test_node(self) -> None:
        node = bootstrap(body())["node"]
        assert (node["id"], node["cluster"]) == ("default.web-1", "web")
        metadata = node["metadata"]
        assert json.loads(metadata["dataplane.resource"]) == DATAPLANE
        assert metadata["dataplane.admin.port"] == "9901"
        assert metadata["dataplane.readinessReporter.port"] == "9902"
        assert metadata["version"]["kumaDp"]["version"] == "2.13.0"
        assert metadata["version"]["envoy"] == {"version": "1.40.0", "build": "", "kumaDpCompatible": False}

    def test_always_delta(self) -> None:
        assert bootstrap(body(features=[]))["dynamic_resources"]["ads_config"]["api_type"] == "DELTA_GRPC"

    def test_admin(self) -> None:
        with_port = {**DATAPLANE, "networking": {**DATAPLANE["networking"], "admin": {"port": 9999}}}
        assert bootstrap(body(with_port))["admin"]["address"]["socket_address"]["port_value"] == 9999
        known = facts(settings=CpSettings(bootstrap_admin_port=9000, bootstrap_admin_access_log_path="/l"))
        admin = bootstrap(body(), known)["admin"]
        assert admin["address"]["socket_address"]["port_value"] == 9000
        assert admin["access_log"][0]["typed_config"]["path"] == "/l"

    def test_what_the_agent_said_reaches_the_node(self) -> None:
        metadata = bootstrap(
            body(
                dnsPort=15054,
                appProbeProxyDisabled=True,
                dynamicMetadata={"k": "v"},
                dataplaneConfig={"redirect": {"dns": {"enabled": True}}},
                ipv6Enabled=False,
                metricsResources={"certPath": "/c", "keyPath": "/k"},
                systemCaPath="/ca",
                spireResources={"socketPath": "/s"},
            )
        )["node"]["metadata"]
        assert metadata["dataplane.dns.port"] == "15054"
        assert metadata["dataplane.appProbeProxy.enabled"] == "true"
        assert metadata["dynamicMetadata"] == {"k": "v"}
        assert metadata["transparentProxy"] == {"redirect": {"dns": {"enabled": True}}}
        assert metadata["ipv6Enabled"] is False
        assert (metadata["metricsCertPath"], metadata["metricsKeyPath"]) == ("/c", "/k")
        assert (metadata["systemCaPath"], metadata["spireAgent.socketPath"]) == ("/ca", "/s")

    def test_stored_dataplane(self) -> None:
        rendered = bootstrap(body(dataplaneResource=""), facts(DATAPLANE))
        assert rendered["node"]["id"] == "default.web-1"
        assert "dataplane.resource" not in rendered["node"]["metadata"]

    def test_yaml_resource_without_what_the_request_says(self) -> None:
        yaml = "networking:\n  address: 10.0.0.1\n  inbound:\n  - {port: 1, tags: {kuma.io/service: s}}\n"
        node = bootstrap(body(yaml))["node"]
        carried = json.loads(node["metadata"]["dataplane.resource"])
        assert (carried["type"], carried["mesh"], carried["name"]) == ("Dataplane", "default", "web-1")

    def test_characters_beyond_ascii_in_the_resource(self) -> None:
        labelled = json.dumps({**DATAPLANE, "kri": "ä😀\x85"})
        metadata = bootstrap(body(labelled))["node"]["metadata"]
        assert json.loads(metadata["dataplane.resource"])["kri"] == "ä😀\x85"

    def test_zone_proxies(self) -> None:
        request = body(INGRESS, mesh="", name="zi-1", proxyType="ingress", dataplaneToken=ZONE_TOKEN)
        rendered = bootstrap(request, facts(mesh=None))
        assert (rendered["node"]["id"], rendered["node"]["cluster"]) == (".zi-1", "ingress")
        assert "hds_config" not in rendered

    def test_hds_and_reloadable_tokens(self) -> None:
        rendered = bootstrap(body(dataplaneTokenPath="/t"), facts(reloadable_tokens=True))
        for source in (rendered["hds_config"], rendered["dynamic_resources"]["ads_config"]):
            assert source["grpc_services"][0]["google_grpc"]["target_uri"] == "localhost:5678"

    def test_without_hds(self) -> None:
        assert "hds_config" not in bootstrap(body(), facts(settings=CpSettings(hds_enabled=False)))

    def test_a_host_without_ipv6(self) -> None:
        (ads, _) = bootstrap(body(), facts(host_ipv4_only=True))["static_resources"]["clusters"]
        assert ads["dns_lookup_family"] == "V4_ONLY"

    def test_builtin_gateway(self) -> None:
        gateway = {
            **DATAPLANE,
            "networking": {
                "address": "10.0.0.1",
                "gateway": {"type": "BUILTIN", "tags": {"kuma.io/service": "edge"}},
            },
        }
        rendered = bootstrap(body(gateway, resources={"maxHeapSizeBytes": 1 << 20}))
        assert rendered["node"]["cluster"] == "edge"
        assert len(rendered["overload_manager"]["resource_monitors"]) == 2
        assert "overload_manager" not in bootstrap(body())

    def test_unified_names_need_the_feature_and_the_mesh(self) -> None:
        exclusive = {**MESH, "meshServices": {"mode": "Exclusive"}}
        wanting = body(features=["feature-unified-resource-naming"])
        names = [
            bootstrap(request, facts(mesh=mesh))["static_resources"]["clusters"][0]["name"]
            for request, mesh in ((wanting, exclusive), (wanting, MESH), (body(), exclusive))
        ]
        assert names == ["system_ads", "ads_cluster", "ads_cluster"]

    def test_metrics_of_applications(self) -> None:
        entries = [
            {"name": "app", "port": 1, "path": "/m"},
            {"name": "off", "port": 2, "enabled": False},
            {"name": "side", "port": 3, "address": "10.0.0.9"},
        ]
        conf = {
            "name": "p",
            "type": "prometheus",
            "conf": {"port": 5670, "path": "/metrics", "aggregate": entries},
        }
        mesh = {**MESH, "metrics": {"enabledBackend": "p", "backends": [conf]}}
        own = {"type": "prometheus", "conf": {"aggregate": [{"name": "app", "port": 9}]}}
        request = body({**DATAPLANE, "metrics": own})
        content = json.loads(ask(request, facts(mesh=mesh), accept="application/json").body)
        assert content["kumaSidecarConfiguration"]["metrics"]["aggregate"] == [
            {"name": "app", "address": "192.168.0.1", "port": 9, "path": "/metrics"},
            {"name": "side", "address": "10.0.0.9", "port": 3, "path": "/metrics"},
        ]


class TestHost:
    @pytest.mark.parametrize(
        ("header", "host"),
        [
            ("localhost:5678", "localhost"),
            ("LOCALHOST", "localhost"),
            ("cp.example:1", "cp.example"),
            ("127.0.0.1:5678", "127.0.0.1"),
            ("[::1]:5678", "::1"),
            ("[0:0:0:0:0:0:0:1]", "::1"),
        ],
    )
    def test_is_what_envoy_dials(self, header: str, host: str) -> None:
        (ads, _) = bootstrap(body(), host=header)["static_resources"]["clusters"]
        assert ads["transport_socket"]["typed_config"]["sni"] == host

    @pytest.mark.parametrize("header", ["", "other:5678", "10.0.0.1", "[::2]:1", "[", ":", "a:b:c"])
    def test_must_be_in_the_certificate(self, header: str) -> None:
        status, text = refusal(body(), host=header)
        assert status == 400
        assert text.startswith("A data plane proxy is trying to connect to the control plane using ")
        assert 'SANs ["cp.example" "localhost" "127.0.0.1" "::1"]' in text

    def test_a_wildcard_covers_one_label(self) -> None:
        names = bootstrap_service.SubjectNames(("*.example",), ())
        assert bootstrap(body(), facts(certificate_names=names), host="cp.example")
        assert refusal(body(), facts(certificate_names=names), host="a.cp.example")[0] == 400
        assert refusal(body(), facts(certificate_names=names), host="example")[0] == 400

    def test_settings_replace_it(self) -> None:
        known = facts(settings=CpSettings(bootstrap_xds_host="cp.example", bootstrap_xds_port=443))
        (ads, _) = bootstrap(body(), known, host="other")["static_resources"]["clusters"]
        assert ads["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"] == {
            "socket_address": {"address": "cp.example", "port_value": 443}
        }
        outside = facts(settings=CpSettings(bootstrap_xds_host="other"))
        assert refusal(body(), outside)[0] == 400


class TestCa:
    def trusted(self, request: bytes, known: BootstrapFacts | None = None) -> str:
        (secret,) = bootstrap(request, known)["static_resources"]["secrets"]
        pem: str = secret["validation_context"]["trusted_ca"]["inline_string"]
        return pem

    def test_the_agents_wins(self) -> None:
        assert self.trusted(body()) == CERT.decode()
        assert self.trusted(body(caCert=ADMIN_CA.certificate.decode())) == ADMIN_CA.certificate.decode()

    def test_a_bundle_is_embedded_whole(self) -> None:
        bundle = (ADMIN_CA.certificate + LEAF).decode()
        assert self.trusted(body(caCert=bundle)) == bundle

    def test_a_certificate_that_is_no_ca(self) -> None:
        for answer in (
            refusal(body(caCert=LEAF.decode())),
            refusal(body(), facts(ca_pem=LEAF.decode())),
        ):
            assert answer[0] == 400
            assert answer[1].startswith(
                "A data plane proxy is trying to verify the control plane using the certificate which is not "
                "a certificate authority (basic constraint 'CA' is set to 'false')."
            )

    def test_no_pem(self) -> None:
        assert refusal(body(caCert="x")) == (
            400,
            "caCert: is not a certificate in PEM form; check the file given with --ca-cert-file",
        )
