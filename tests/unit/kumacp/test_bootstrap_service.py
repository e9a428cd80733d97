"""POST /bootstrap: who gets which answer, in which order things are checked, and with which words."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kumacp import bootstrap_service
from kumacp.bootstrap_service import BootstrapAnswer, BootstrapFacts, wanted
from kumacp.identity.admin_ca import create_admin_ca, issue_admin_client
from kumacp.identity.server_cert import create_server_certificate, subject_names
from kumacp.identity.signing_keys import KeyRing
from kumacp.settings import CpSettings
from kumadp_bootstrap.yamltext import load
from kumamesh import tokens
from kumamesh.resource import Resource, ResourceKey
from kumamesh.resources.rest import from_rest
from kumamesh.resources.secret import GlobalSecret, Secret
from kumamesh.tokens import DataplaneClaims, SigningKey, ZoneClaims

NOW = 1_700_000_000.0
WHEN = datetime.fromtimestamp(NOW, UTC)
CERT, _ = create_server_certificate("cp.example", ["127.0.0.1", "::1"], WHEN)
ADMIN_CA = create_admin_ca(WHEN)
LEAF = issue_admin_client(ADMIN_CA, now=WHEN).certificate
PRIVATE, FOREIGN = tokens.generate_signing_key(), tokens.generate_signing_key()
KEY = SigningKey("1", PRIVATE)

DATAPLANE: dict[str, Any] = {
    "type": "Dataplane",
    "mesh": "default",
    "name": "web-1",
    "creationTime": "0001-01-01T00:00:00Z",
    "modificationTime": "0001-01-01T00:00:00Z",
    "networking": {
        "address": "192.168.0.1",
        "inbound": [{"port": 10001, "servicePort": 8080, "tags": {"kuma.io/service": "web"}}],
    },
}
INGRESS: dict[str, Any] = {
    "type": "ZoneIngress",
    "name": "zi-1",
    "networking": {"address": "192.168.0.2", "port": 10001},
}
MESH: dict[str, Any] = {"type": "Mesh", "name": "default"}
RING = KeyRing(
    [
        Resource(
            ResourceKey("Secret", "default", "dataplane-token-signing-key-default-1"), Secret(data=PRIVATE)
        ),
        Resource(ResourceKey("GlobalSecret", "", "zone-token-signing-key-1"), GlobalSecret(data=PRIVATE)),
        Resource(
            ResourceKey("Secret", "default", "dataplane-token-revocations-default"), Secret(data=b"revoked")
        ),
    ]
)


def facts(
    *stored: Mapping[str, Any], mesh: Mapping[str, Any] | None = MESH, **changes: Any
) -> BootstrapFacts:
    resources = [from_rest(document) for document in (*stored, *([mesh] if mesh else []))]
    by_key = {resource.key: resource for resource in resources}
    made = BootstrapFacts(
        settings=CpSettings(),
        port=5678,
        certificate_names=subject_names(CERT),
        ca_pem=CERT.decode(),
        keys=RING,
        now=NOW,
        lookup=by_key.get,
    )
    return replace(made, **changes)


def token(claims: tokens.Claims | None = None, key: SigningKey = KEY, valid_for_s: float = 60.0) -> str:
    return tokens.issue(claims or DataplaneClaims("web-1", "default"), key, now=NOW, valid_for_s=valid_for_s)


TOKEN = token()
ZONE_TOKEN = token(ZoneClaims("default", ("ingress", "egress")))


def body(resource: Any = DATAPLANE, **changes: Any) -> bytes:
    request: dict[str, Any] = {
        "mesh": "default",
        "name": "web-1",
        "proxyType": "dataplane",
        "dataplaneToken": TOKEN,
        "dataplaneResource": resource if isinstance(resource, str) else json.dumps(resource),
        "version": {"kumaDp": {"version": "2.13.0"}, "envoy": {"version": "1.40.0"}},
        "caCert": "",
        "dynamicMetadata": None,
        "readinessPort": 9902,
        "operatingSystem": "linux",
        "features": ["feature-delta-grpc"],
        "resources": {"maxHeapSizeBytes": 0},
        "workdir": "/tmp/kuma-dp",
        "metricsResources": {"certPath": "", "keyPath": ""},
        "systemCaPath": "",
        "ipv6Enabled": True,
        "spireResources": {"socketPath": ""},
        "somethingNew": 1,
    }
    merged = {**request, **changes}
    return json.dumps({key: value for key, value in merged.items() if value is not ...}).encode()


def ask(
    request: bytes, known: BootstrapFacts | None = None, *, host: str = "localhost:5678", accept: str = ""
) -> BootstrapAnswer:
    return bootstrap_service.answer(request, accept=accept, host_header=host, facts=known or facts())


def bootstrap(request: bytes, known: BootstrapFacts | None = None, **headers: str) -> dict[str, Any]:
    answer = ask(request, known, **headers)
    assert (answer.status, answer.content_type) == (200, "text/x-yaml"), answer.body
    return load(answer.body.decode(), "answer")


def refusal(request: bytes, known: BootstrapFacts | None = None, **headers: str) -> tuple[int, str]:
    answer = ask(request, known, **headers)
    assert answer.content_type == ("text/plain; charset=utf-8" if answer.body else "")
    assert b"\n" not in answer.body
    assert TOKEN.encode() not in answer.body
    return answer.status, answer.body.decode()


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
        rendered = bootstrap(request, facts(mesh=None, hds=True))
        assert (rendered["node"]["id"], rendered["node"]["cluster"]) == (".zi-1", "ingress")
        assert "hds_config" not in rendered

    def test_hds_and_reloadable_tokens(self) -> None:
        rendered = bootstrap(body(dataplaneTokenPath="/t"), facts(hds=True, reloadable_tokens=True))
        for source in (rendered["hds_config"], rendered["dynamic_resources"]["ads_config"]):
            assert source["grpc_services"][0]["google_grpc"]["target_uri"] == "localhost:5678"

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


class TestToken:
    MISSING = (
        422,
        "Dataplane Token is required. Generate token using 'kumactl generate dataplane-token > /path/file' "
        "and provide it via --dataplane-token-file=/path/file argument to Kuma DP",
    )

    def test_missing(self) -> None:
        assert refusal(body(dataplaneToken="")) == self.MISSING
        assert refusal(body(INGRESS, proxyType="ingress", dataplaneToken=...)) == self.MISSING

    def test_a_path_counts_as_presence(self) -> None:
        rendered = bootstrap(body(dataplaneToken="", dataplaneTokenPath="/t"))
        assert rendered["dynamic_resources"]["ads_config"]["grpc_services"] == [
            {"envoy_grpc": {"cluster_name": "ads_cluster"}}
        ]

    def test_not_needed_without_authentication(self) -> None:
        open_doors = facts(settings=CpSettings(dp_proxy_auth="none"))
        assert bootstrap(body(dataplaneToken=""), open_doors)
        assert bootstrap(body(dataplaneToken="anything"), open_doors)
        assert refusal(body(INGRESS, proxyType="ingress", dataplaneToken=""), open_doors) == self.MISSING

    @pytest.mark.parametrize(
        ("given", "reason"),
        [
            ("nonsense", "could not parse token"),
            (token(valid_for_s=-1), "token is expired"),
            (token(DataplaneClaims(token_id="revoked")), "token is revoked"),
            (token(key=SigningKey("1", FOREIGN)), "signature does not match"),
            (token(key=SigningKey("9", PRIVATE)), "there is no signing key with KID 9."),
        ],
    )
    def test_bad_ones_are_401(self, given: str, reason: str) -> None:
        status, text = refusal(body(dataplaneToken=given))
        assert status == 401
        assert reason in text
        assert given not in text

    @pytest.mark.parametrize(
        ("claims", "reason"),
        [
            (DataplaneClaims(name="x"), "proxy name from requestor: web-1 is different than in token: x"),
            (DataplaneClaims(mesh="x"), "proxy mesh from requestor: default is different than in token: x"),
            (DataplaneClaims(tags={"t": ("v",)}), 'dataplane has no tag "t" required by the token'),
            (DataplaneClaims(tags={"kuma.io/service": ("api",)}), "is not allowed with this token"),
            (DataplaneClaims(workload="w"), 'no label "kuma.io/workload"'),
        ],
    )
    def test_genuine_ones_of_others_are_403(self, claims: DataplaneClaims, reason: str) -> None:
        status, text = refusal(body(dataplaneToken=token(claims)))
        assert status == 403
        assert reason in text

    @pytest.mark.parametrize(
        ("claims", "reason"),
        [
            (ZoneClaims("default", ("egress",)), "ingress is out of token's scope: [egress]"),
            (
                ZoneClaims("west", ("ingress",)),
                "zone from requestor: default is different than in token: west",
            ),
        ],
    )
    def test_zone_tokens(self, claims: ZoneClaims, reason: str) -> None:
        request = body(INGRESS, mesh="", proxyType="ingress", dataplaneToken=token(claims))
        status, text = refusal(request)
        assert status == 403
        assert reason in text

    def test_a_stored_proxy_is_checked_too(self) -> None:
        request = body(dataplaneResource="", dataplaneToken=token(DataplaneClaims(name="x")))
        assert refusal(request, facts(DATAPLANE))[0] == 403


class TestResource:
    @pytest.mark.parametrize(
        ("resource", "text"),
        [
            ({**DATAPLANE, "networking": {"address": "x y"}}, "networking.address: "),
            ({**DATAPLANE, "networkin": {}}, "networkin"),
            ({**DATAPLANE, "mesh": "no.pe"}, "mesh: "),
            (INGRESS, 'type: must be "ZoneIngress"'),
            ("a: b: c", "dataplaneResource:1:5: "),
            ("[]", "dataplaneResource: must be one resource"),
            ("a: 1\n---\nb: 1", "dataplaneResource: must be one resource"),
            ("[" * 2000, "dataplaneResource:1:"),
        ],
    )
    def test_invalid(self, resource: Any, text: str) -> None:
        if resource is INGRESS:
            text = 'type: must be "Dataplane" for the proxy type "dataplane"'
        status, shown = refusal(body(resource))
        assert status == 422
        assert text in shown

    def test_all_violations_are_listed(self) -> None:
        broken = {**DATAPLANE, "networking": {"address": "", "inbound": [{"port": 0, "tags": {}}]}}
        _, text = refusal(body(broken))
        assert "networking.address: " in text
        assert "networking.inbound[0].port: " in text

    def test_mesh_missing(self) -> None:
        assert refusal(body({**DATAPLANE, "mesh": "x"})) == (422, 'mesh: mesh "x" does not exist')

    def test_outbounds_with_transparent_proxying(self) -> None:
        outbounds = [{"port": 20000, "tags": {"kuma.io/service": "backend"}}]
        networking = {**DATAPLANE["networking"], "outbound": outbounds}
        redirect = {"redirectPortInbound": 15006, "redirectPortOutbound": 15001}
        expected = (422, "outbound: should be empty since dataplane is in Transparent Proxying mode")
        in_resource = {**DATAPLANE, "networking": {**networking, "transparentProxying": redirect}}
        assert refusal(body(in_resource)) == expected
        request = {
            "dataplaneConfig": {"redirect": {}},
            "features": [bootstrap_service.TRANSPARENT_PROXY_IN_METADATA],
        }
        assert refusal(body({**DATAPLANE, "networking": networking}, **request)) == expected
        assert bootstrap(body({**DATAPLANE, "networking": networking}))

    def test_unknown_proxy_type(self) -> None:
        assert refusal(body(proxyType="gateway")) == (
            422,
            "proxyType: must be one of dataplane, ingress, egress",
        )
        assert bootstrap(body(proxyType=""))

    def test_name_only_and_not_there(self) -> None:
        request = body(dataplaneResource=...)
        assert refusal(request) == (404, "")
        assert refusal(request, facts(DATAPLANE, mesh=None)) == (404, "")
        assert refusal(body(dataplaneResource=..., proxyType="egress", dataplaneToken=ZONE_TOKEN)) == (
            404,
            "",
        )


class TestOrder:
    def test_token_presence_host_resource_token_ca(self) -> None:
        everything_wrong = {"resource": {"type": "Dataplane"}, "caCert": "x"}
        assert "Token is required" in refusal(body(**everything_wrong, dataplaneToken=""), host="x")[1]
        assert "SANs" in refusal(body(**everything_wrong, dataplaneToken="bad"), host="x")[1]
        assert "networking: " in refusal(body(**everything_wrong, dataplaneToken="bad"))[1]
        assert "could not parse token" in refusal(body(caCert="x", dataplaneToken="bad"))[1]
        assert "caCert" in refusal(body(caCert="x"))[1]


class TestWanted:
    def test_stored_proxies_and_their_mesh(self) -> None:
        assert wanted(body(dataplaneResource="")) == (
            ResourceKey("Dataplane", "default", "web-1"),
            ResourceKey("Mesh", "", "default"),
        )
        assert wanted(body(dataplaneResource="", mesh="", proxyType="ingress", name="zi")) == (
            ResourceKey("ZoneIngress", "", "zi"),
        )

    def test_the_mesh_of_the_resource_counts(self) -> None:
        mesh = ResourceKey("Mesh", "", "shop")
        assert mesh in wanted(body({**DATAPLANE, "mesh": "shop"}))
        assert mesh in wanted(body({**DATAPLANE, "mesh": None}, mesh="shop"))

    @pytest.mark.parametrize("request_body", [b"", b"{", body("[]"), body("{}"), body(proxyType="x")])
    def test_nothing_for_what_is_refused_anyway(self, request_body: bytes) -> None:
        assert wanted(request_body) == ()

    def test_is_all_that_is_looked_up(self) -> None:
        kubernetes = {
            "apiVersion": "kuma.io/v1alpha1",
            "kind": "Dataplane",
            "mesh": "shop",
            "metadata": {"name": "web-1"},
            "spec": {"networking": DATAPLANE["networking"]},
        }
        labelled = {**kubernetes, "metadata": {"name": "web-1", "labels": {"kuma.io/mesh": "shop"}}}
        del labelled["mesh"]
        requests = [body(), body(dataplaneResource=""), body(kubernetes), body(labelled)]
        requests.append(body(INGRESS, proxyType="ingress", dataplaneToken=ZONE_TOKEN))
        for request in requests:
            asked: list[ResourceKey] = []

            def lookup(key: ResourceKey, asked: list[ResourceKey] = asked) -> Resource | None:
                asked.append(key)
                return None

            ask(request, facts(lookup=lookup))
            assert set(asked) <= set(wanted(request))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


class TestHostileInput:
    @given(st.binary())
    def test_any_bytes(self, request: bytes) -> None:
        assert ask(request).status == 400

    @settings(max_examples=150, deadline=None)
    @given(st.sampled_from(sorted(json.loads(body()))), JSON)
    @example("version", {"kumaDp": {"version": "y"}, "envoy": None})
    @example("workdir", "\x00\x85\ud7ff")
    def test_any_value_of_any_key(self, key: str, value: Any) -> None:
        answer = ask(body(**{key: value}), accept="application/json")
        assert answer.status in {200, 400, 401, 403, 404, 422}
        assert isinstance(wanted(body(**{key: value})), tuple)
        if answer.status == 200:
            load(base64.b64decode(json.loads(answer.body)["bootstrap"]).decode(), "answer")

    @settings(max_examples=150, deadline=None)
    @given(st.text() | JSON.map(json.dumps))
    def test_any_resource(self, resource: str) -> None:
        assert ask(body(resource)).status in {401, 403, 404, 422}

    @given(st.text())
    def test_any_host(self, host: str) -> None:
        assert ask(body(), host=host).status in {200, 400}
