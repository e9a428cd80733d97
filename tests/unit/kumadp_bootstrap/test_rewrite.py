"""The rewrite: only the way to the control plane changes, and the token is gone."""

from __future__ import annotations

import base64
import contextlib
import copy
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bootstrap_samples import CA_PEM, RELAY_SOCKET, SAMPLES, SIDECAR, TOKEN
from kumadp_bootstrap.render import document
from kumadp_bootstrap.rewrite import Rewritten, SanMatcher, Upstream, admin_address, rewrite
from kumadp_bootstrap.yamltext import dump
from kumamesh.errors import UserError

HDS = document(replace(SIDECAR, hds=True))


def relayed(bootstrap: dict[str, Any]) -> Rewritten:
    return rewrite(bootstrap, RELAY_SOCKET)


def clusters(bootstrap: dict[str, Any]) -> dict[str, dict[str, Any]]:
    resources = bootstrap.get("static_resources") or bootstrap["staticResources"]
    return {cluster["name"]: cluster for cluster in resources["clusters"]}


def pipe_of(cluster: dict[str, Any]) -> str:
    address = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"]
    path: str = address["pipe"]["path"]
    return path


def camel(value: Any) -> Any:
    """The document with the other spelling of protobuf's JSON, where keys are fields."""
    if isinstance(value, list):
        return [camel(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {_camel_key(key): item if key == "metadata" else camel(item) for key, item in value.items()}


def _camel_key(key: str) -> str:
    if "." in key or key.startswith("@"):
        return key
    head, *rest = key.split("_")
    return head + "".join(part.capitalize() for part in rest)


@pytest.mark.parametrize("name", sorted(SAMPLES))
class TestEverySample:
    def test_only_the_way_to_the_control_plane_changes(self, name: str) -> None:
        before = document(SAMPLES[name])
        after = relayed(before).document
        for parts in (before, after):
            parts["dynamic_resources"]["ads_config"].pop("grpc_services")
            parts.get("hds_config", {"grpc_services": 0}).pop("grpc_services")
            parts["static_resources"].pop("secrets", None)
            parts["static_resources"]["clusters"] = [
                cluster for cluster in parts["static_resources"]["clusters"] if "ads" not in cluster["name"]
            ]
        assert after == before

    def test_the_given_document_stays(self, name: str) -> None:
        before = document(SAMPLES[name])
        relayed(before)
        assert before == document(SAMPLES[name])

    def test_again_is_the_same_but_for_the_socket(self, name: str) -> None:
        once = relayed(document(SAMPLES[name])).document
        with pytest.raises(UserError, match="has no address of a control plane"):
            relayed(once)

    def test_token(self, name: str) -> None:
        rewritten = relayed(document(SAMPLES[name]))
        assert rewritten.token_was_present == (name != "sidecar-no-token")
        text = dump(rewritten.document)
        assert TOKEN not in text
        assert "authorization" not in text
        assert "google_grpc" not in text

    def test_one_cluster_leads_to_the_relay(self, name: str) -> None:
        after = relayed(document(SAMPLES[name])).document
        ads = "system_ads" if name == "sidecar-unified-names" else "ads_cluster"
        assert pipe_of(clusters(after)[ads]) == RELAY_SOCKET
        assert "transport_socket" not in clusters(after)[ads]
        assert "secrets" not in after["static_resources"]
        for source in (after["dynamic_resources"]["ads_config"], after.get("hds_config")):
            if source:
                assert source["grpc_services"] == [{"envoy_grpc": {"cluster_name": ads}}]


class TestUpstream:
    def test_of_a_cluster(self) -> None:
        assert relayed(document(SIDECAR)).upstream == Upstream(
            host="localhost",
            port=5678,
            sni="localhost",
            ca_pem=CA_PEM,
            sans=(SanMatcher("DNS", "exact", "localhost"), SanMatcher("IP_ADDRESS", "exact", "localhost")),
        )

    def test_of_google_grpc(self) -> None:
        upstream = relayed(document(SAMPLES["sidecar-google-grpc"])).upstream
        assert upstream == Upstream(host="::1", port=5678, sni="::1", ca_pem=CA_PEM)

    @pytest.mark.parametrize(
        ("target", "host"),
        [("cp:1", "cp"), ("dns:///cp:1", "cp"), ("ipv4:10.0.0.1:1", "10.0.0.1"), ("ipv6:[::1]:1", "::1")],
    )
    def test_target_uris(self, target: str, host: str) -> None:
        bootstrap = document(replace(SIDECAR, reloadable_token=True))
        bootstrap["dynamic_resources"]["ads_config"]["grpc_services"][0]["google_grpc"]["target_uri"] = target
        assert (relayed(bootstrap).upstream.host, relayed(bootstrap).upstream.port) == (host, 1)

    def test_the_other_spelling_and_base64(self) -> None:
        bootstrap = camel(document(SIDECAR))
        trusted = bootstrap["staticResources"]["secrets"][0]["validationContext"]
        trusted["trustedCa"] = {"inlineBytes": base64.b64encode(CA_PEM.encode()).decode()}
        rewritten = relayed(bootstrap)
        assert rewritten.upstream == relayed(document(SIDECAR)).upstream
        assert rewritten.token_was_present
        assert "secrets" not in rewritten.document["staticResources"]
        assert pipe_of(clusters(rewritten.document)["ads_cluster"]) == RELAY_SOCKET
        service = rewritten.document["dynamicResources"]["adsConfig"]["grpcServices"]
        assert service == [{"envoyGrpc": {"clusterName": "ads_cluster"}}]
        assert not {"static_resources", "dynamic_resources"} & set(rewritten.document)

    def test_ca_file_and_inline_context(self) -> None:
        bootstrap = document(SIDECAR)
        tls = bootstrap["static_resources"]["clusters"][0]["transport_socket"]["typed_config"][
            "common_tls_context"
        ]
        tls.pop("validation_context_sds_secret_config")
        tls["validation_context"] = {
            "trusted_ca": {"filename": "/ca.pem"},
            "match_subject_alt_names": [
                {"prefix": "cp.", "ignore_case": True},
                {"safe_regex": {"regex": "a.*"}},
            ],
        }
        upstream = relayed(bootstrap).upstream
        assert (upstream.ca_path, upstream.ca_pem) == ("/ca.pem", "")
        assert upstream.sans == (
            SanMatcher("", "prefix", "cp.", ignore_case=True),
            SanMatcher("", "safe_regex", "a.*"),
        )

    def test_plain_text_and_authority(self) -> None:
        bootstrap = document(SIDECAR)
        bootstrap["static_resources"]["clusters"][0].pop("transport_socket")
        bootstrap["dynamic_resources"]["ads_config"]["grpc_services"][0]["envoy_grpc"]["authority"] = "cp"
        upstream = relayed(bootstrap).upstream
        assert (upstream.tls, upstream.authority, upstream.ca_pem) == (False, "cp", "")


class TestWhatIsShared:
    def test_a_cluster_that_something_else_uses_stays(self) -> None:
        bootstrap = document(SIDECAR)
        bootstrap["tracing"] = {"http": {"typed_config": {"collector_cluster": "ads_cluster"}}}
        after = relayed(bootstrap).document
        assert clusters(after)["ads_cluster"] == clusters(bootstrap)["ads_cluster"]
        assert pipe_of(clusters(after)["ads_cluster_relay"]) == RELAY_SOCKET
        assert after["static_resources"]["secrets"] == bootstrap["static_resources"]["secrets"]
        assert TOKEN not in dump(after)

    def test_a_secret_that_something_else_uses_stays(self) -> None:
        bootstrap = document(SIDECAR)
        bootstrap["static_resources"]["clusters"].append({"name": "x", "sds": {"name": "cp_validation_ctx"}})
        after = relayed(bootstrap).document
        assert after["static_resources"]["secrets"] == bootstrap["static_resources"]["secrets"]
        assert pipe_of(clusters(after)["ads_cluster"]) == RELAY_SOCKET

    def test_other_secrets_stay(self) -> None:
        bootstrap = document(SIDECAR)
        bootstrap["static_resources"]["secrets"].append({"name": "mine"})
        assert relayed(bootstrap).document["static_resources"]["secrets"] == [{"name": "mine"}]

    def test_a_service_that_is_called_like_the_cluster_changes_nothing(self) -> None:
        after = relayed(document(replace(SIDECAR, service="ads_cluster"))).document
        assert set(clusters(after)) == {"ads_cluster", "access_log_sink"}

    def test_other_metadata_and_settings_of_the_stream_stay(self) -> None:
        bootstrap = document(SIDECAR)
        service = bootstrap["dynamic_resources"]["ads_config"]["grpc_services"][0]
        service["timeout"] = "1s"
        service["initial_metadata"].append({"key": "x-team", "value": "a"})
        service["initial_metadata"][0]["key"] = "Authorization"
        after = relayed(bootstrap).document["dynamic_resources"]["ads_config"]["grpc_services"][0]
        assert after["timeout"] == "1s"
        assert after["initial_metadata"] == [{"key": "x-team", "value": "a"}]


class TestRefused:
    @pytest.mark.parametrize(
        "path",
        [
            ("dynamic_resources",),
            ("dynamic_resources", "ads_config"),
            ("dynamic_resources", "ads_config", "grpc_services"),
            ("dynamic_resources", "ads_config", "grpc_services", 0, "envoy_grpc"),
            ("dynamic_resources", "ads_config", "grpc_services", 0, "envoy_grpc", "cluster_name"),
            ("static_resources",),
            ("static_resources", "clusters"),
            ("static_resources", "clusters", 0),
        ],
    )
    def test_no_way_to_a_control_plane(self, path: tuple[str | int, ...]) -> None:
        bootstrap: Any = document(SIDECAR)
        parent = bootstrap
        for key in path[:-1]:
            parent = parent[key]
        del parent[path[-1]]
        with pytest.raises(UserError, match="has no ads_config with a gRPC service"):
            relayed(bootstrap)

    def test_a_socket_path_that_does_not_fit(self) -> None:
        with pytest.raises(UserError, match="shorter --work-dir"):
            rewrite(document(SIDECAR), "/tmp/" + "x" * 200)

    def test_two_control_planes(self) -> None:
        bootstrap = copy.deepcopy(HDS)
        other = copy.deepcopy(bootstrap["static_resources"]["clusters"][0])
        other["name"] = "hds"
        address = other["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"]
        address["socket_address"]["port_value"] = 1
        bootstrap["static_resources"]["clusters"].append(other)
        bootstrap["hds_config"]["grpc_services"][0]["envoy_grpc"]["cluster_name"] = "hds"
        with pytest.raises(UserError, match="different control planes"):
            relayed(bootstrap)

    def test_a_secret_that_is_missing(self) -> None:
        bootstrap = document(SIDECAR)
        del bootstrap["static_resources"]["secrets"]
        with pytest.raises(UserError, match="by a secret that it does not contain"):
            relayed(bootstrap)

    def test_a_matcher_nobody_knows(self) -> None:
        bootstrap = document(SIDECAR)
        context = bootstrap["static_resources"]["secrets"][0]["validation_context"]
        context["match_typed_subject_alt_names"] = [{"san_type": "DNS", "matcher": {"custom": {}}}]
        with pytest.raises(UserError, match="not supported"):
            relayed(bootstrap)

    @settings(max_examples=200, deadline=None)
    @given(st.data())
    def test_any_damage_gives_a_result_or_an_error_for_the_user(self, data: st.DataObject) -> None:
        bootstrap: Any = copy.deepcopy(HDS)
        for _ in range(data.draw(st.integers(1, 3))):
            _damage(bootstrap, data)
        with contextlib.suppress(UserError):
            result = relayed(bootstrap)
            assert RELAY_SOCKET in dump(result.document)
            assert isinstance(result.upstream.port, int)


def _damage(value: Any, data: st.DataObject) -> None:
    """Replace something somewhere in the document."""
    while True:
        keys = list(value) if isinstance(value, dict) else list(range(len(value)))
        if not keys:
            return
        key = data.draw(st.sampled_from(keys))
        inner = value[key]
        if isinstance(inner, dict | list) and inner and data.draw(st.integers(0, 5)):
            value = inner
            continue
        value[key] = data.draw(
            st.sampled_from([None, {}, [], "", "x", 0, True, [1], {"a": 1}, "5678", 70_000])
        )
        return


class TestAdminAddress:
    def test_both_spellings_and_after_the_rewrite(self) -> None:
        assert admin_address(document(SIDECAR)) == ("127.0.0.1", 9901)
        assert admin_address(camel(document(SIDECAR))) == ("127.0.0.1", 9901)
        assert admin_address(relayed(document(SIDECAR)).document) == ("127.0.0.1", 9901)

    @pytest.mark.parametrize("admin", [None, {}, {"address": {"pipe": {"path": "/a"}}}])
    def test_without_a_port(self, admin: object) -> None:
        with pytest.raises(UserError, match="gives Envoy no admin port"):
            admin_address({"admin": admin})

    @pytest.mark.parametrize("port", [None, 0, -1, 65_536, "x", "", 1.5])
    def test_unusable_ports(self, port: object) -> None:
        with pytest.raises(UserError, match="without a usable address and port"):
            admin_address({"admin": {"address": {"socket_address": {"address": "::1", "port_value": port}}}})
