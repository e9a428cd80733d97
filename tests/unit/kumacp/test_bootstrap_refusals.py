"""POST /bootstrap: who gets no answer, in which order things are checked, and with which words."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bootstrap_requests import (
    DATAPLANE,
    FOREIGN,
    INGRESS,
    PRIVATE,
    ZONE_TOKEN,
    ask,
    body,
    bootstrap,
    facts,
    refusal,
    token,
)
from kumacp import bootstrap_service
from kumacp.bootstrap_service import wanted
from kumacp.settings import CpSettings
from kumacp.xds.transparent import BIND_OUTBOUNDS, IN_METADATA
from kumadp_bootstrap.yamltext import load
from kumamesh.resource import Resource, ResourceKey
from kumamesh.tokens import DataplaneClaims, SigningKey, ZoneClaims


class TestToken:
    MISSING = (
        422,
        "Dataplane Token is required. Generate token using 'kumactl generate dataplane-token > /path/file' "
        "and provide it via --dataplane-token-file=/path/file argument to Kuma DP",
    )

    def test_missing(self) -> None:
        assert refusal(body(dataplaneToken="")) == self.MISSING
        status, text = refusal(body(INGRESS, proxyType="ingress", dataplaneToken=...))
        assert (status, text[: len(self.MISSING[1])]) == self.MISSING
        assert text.endswith(
            " (a zone ingress takes one of 'kumactl generate zone-token --zone=default --scope=ingress "
            "> /path/file')"
        )

    def test_a_path_counts_as_presence(self) -> None:
        rendered = bootstrap(body(dataplaneToken="", dataplaneTokenPath="/t"))
        assert rendered["dynamic_resources"]["ads_config"]["grpc_services"] == [
            {"envoy_grpc": {"cluster_name": "ads_cluster"}}
        ]

    def test_not_needed_without_authentication(self) -> None:
        open_doors = facts(settings=CpSettings(dp_proxy_auth="none"))
        assert bootstrap(body(dataplaneToken=""), open_doors)
        assert bootstrap(body(dataplaneToken="anything"), open_doors)
        status, text = refusal(body(INGRESS, proxyType="ingress", dataplaneToken=""), open_doors)
        assert status == 422
        assert text.startswith(self.MISSING[1])

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
            "dataplaneConfig": {"redirect": {"outbound": {"enabled": True, "port": 15001}}},
            "features": [IN_METADATA],
        }
        declared = {**DATAPLANE, "networking": networking}
        assert refusal(body(declared, **request)) == expected
        assert refusal(body(declared, features=[IN_METADATA])) == expected
        assert refusal(body(dataplaneResource="", **request), facts(declared)) == expected
        assert bootstrap(body(declared))
        off = {"dataplaneConfig": {"redirect": {"outbound": {"enabled": False, "port": 15001}}}}
        assert bootstrap(body(declared, features=[IN_METADATA], **off))

    def test_outbounds_of_a_proxy_that_binds_the_addresses_of_all_services(self) -> None:
        outbounds = [{"port": 20000, "tags": {"kuma.io/service": "backend"}}]
        declared = {**DATAPLANE, "networking": {**DATAPLANE["networking"], "outbound": outbounds}}
        assert refusal(body(declared, features=[BIND_OUTBOUNDS])) == (
            422,
            "outbound: should be empty since the addresses of all services of the mesh are bound",
        )
        assert bootstrap(body(features=[BIND_OUTBOUNDS]))

    @pytest.mark.parametrize(
        ("config", "text"),
        [
            ("on", "dataplaneConfig: must be an object"),
            ({"ipFamilyMode": "both"}, "dataplaneConfig.ipFamilyMode: must be dualstack or ipv4"),
            (
                {"redirect": {"outbound": {"enabled": True, "port": 70000}}},
                "dataplaneConfig.redirect.outbound.port: must be in the range [1, 65535]",
            ),
        ],
    )
    def test_redirection_that_cannot_be_meant(self, config: Any, text: str) -> None:
        for features in ([], [IN_METADATA]):
            assert refusal(body(dataplaneConfig=config, features=features)) == (422, text)

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


def test_a_resource_that_no_proxy_has() -> None:
    status, text = refusal(body(" " * (bootstrap_service.MAX_RESOURCE_CHARS + 1)))
    assert (status, text) == (422, "dataplaneResource: is longer than 2 MiB")


@pytest.mark.parametrize(
    ("request_", "named"),
    [
        (body(), "default.web-1"),
        (body(mesh="", dataplaneResource="no resource"), "default.web-1"),
        (body(name="zi-1", proxyType="ingress"), ".zi-1"),
        (body(name=""), ""),
        (body(proxyType="gate"), ""),
        (b"{", ""),
        (body(name="x" * 1_000), f"default.{'x' * 292}"),
    ],
)
def test_who_asks_is_named_in_the_log(request_: bytes, named: str) -> None:
    assert bootstrap_service.asker(request_) == named
