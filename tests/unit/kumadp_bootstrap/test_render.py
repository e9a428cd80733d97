"""What decides which part of a bootstrap; the whole texts are the goldens."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bootstrap_samples import SIDECAR, TOKEN, ZONE_PROXY
from kumadp_bootstrap.params import BootstrapParams, GatewayParams
from kumadp_bootstrap.render import document, render


def metadata(params: BootstrapParams) -> dict[str, Any]:
    found: dict[str, Any] = document(params)["node"]["metadata"]
    return found


def cluster(params: BootstrapParams, name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(
        item for item in document(params)["static_resources"]["clusters"] if item["name"] == name
    )
    return found


class TestNode:
    def test_identity(self) -> None:
        assert document(SIDECAR)["node"]["id"] == "default.web-1"
        assert document(SIDECAR)["node"]["cluster"] == "web"
        assert document(replace(SIDECAR, service=""))["node"]["cluster"] == "unknown"

    def test_zone_proxies_have_no_mesh(self) -> None:
        node = document(replace(ZONE_PROXY, mesh="default"))["node"]
        assert (node["id"], node["cluster"]) == (".zone-proxy-1", "ingress")
        assert document(replace(ZONE_PROXY, proxy_type="egress"))["node"]["cluster"] == "egress"

    def test_what_is_always_there(self) -> None:
        bare = BootstrapParams(
            proxy_type="dataplane", name="n", xds_host="h", xds_port=1, ca_pem="", admin_port=0
        )
        assert metadata(bare) == {
            "version": {"kumaDp": {}},
            "features": [],
            "workdir": "",
            "metricsCertPath": "",
            "metricsKeyPath": "",
            "systemCaPath": "",
            "ipv6Enabled": True,
            "spireAgent.socketPath": "",
            "dataplane.proxyType": "dataplane",
            "dataplane.admin.address": "127.0.0.1",
        }

    def test_the_probe_proxy_is_announced_only_when_it_runs(self) -> None:
        assert metadata(replace(SIDECAR, app_probe_proxy=True))["dataplane.appProbeProxy.enabled"] == "true"
        assert "dataplane.appProbeProxy.enabled" not in metadata(SIDECAR)


class TestControlPlane:
    @pytest.mark.parametrize(
        ("host", "kind"), [("localhost", "STRICT_DNS"), ("10.0.0.1", "STATIC"), ("::1", "STATIC")]
    )
    def test_addresses_are_not_looked_up(self, host: str, kind: str) -> None:
        ads = cluster(replace(SIDECAR, xds_host=host), "ads_cluster")
        assert ads["type"] == kind
        assert ads["transport_socket"]["typed_config"]["sni"] == host

    def test_ipv4_only_names(self) -> None:
        assert "dns_lookup_family" not in cluster(SIDECAR, "ads_cluster")
        assert cluster(replace(SIDECAR, xds_ipv4_only=True), "ads_cluster")["dns_lookup_family"] == "V4_ONLY"

    def test_transport_variant(self) -> None:
        assert document(SIDECAR)["dynamic_resources"]["ads_config"]["api_type"] == "DELTA_GRPC"
        sotw = document(replace(SIDECAR, delta=False))
        assert sotw["dynamic_resources"]["ads_config"]["api_type"] == "GRPC"

    def test_the_certificate_must_be_for_the_host(self) -> None:
        (secret,) = document(SIDECAR)["static_resources"]["secrets"]
        assert [
            (entry["san_type"], entry["matcher"])
            for entry in secret["validation_context"]["match_typed_subject_alt_names"]
        ] == [("DNS", {"exact": "localhost"}), ("IP_ADDRESS", {"exact": "localhost"})]

    def test_hds_is_authenticated_like_ads(self) -> None:
        rendered = document(replace(SIDECAR, hds=True))
        assert (
            rendered["hds_config"]["grpc_services"]
            == rendered["dynamic_resources"]["ads_config"]["grpc_services"]
        )
        assert rendered["hds_config"]["api_type"] == "GRPC"
        assert "hds_config" not in document(SIDECAR)
        assert "hds_config" not in document(replace(ZONE_PROXY, hds=True))


class TestToken:
    def test_a_reloadable_token_is_named_and_not_written(self) -> None:
        text = render(replace(SIDECAR, reloadable_token=True))
        assert TOKEN not in text
        assert "filename: /tmp/kuma-dp-1/token" in text
        assert "ads_cluster" not in text
        assert "cp_validation_ctx" not in text

    def test_a_token_without_a_path_cannot_be_reloaded(self) -> None:
        text = render(replace(SIDECAR, reloadable_token=True, token_path=""))
        assert TOKEN in text
        assert "google_grpc" not in text

    def test_no_token_no_metadata(self) -> None:
        assert "initial_metadata" not in render(replace(SIDECAR, token=""))

    def test_params_do_not_show_it(self) -> None:
        assert TOKEN not in repr(SIDECAR)


class TestAdmin:
    def test_port_zero_means_none(self) -> None:
        without = replace(SIDECAR, admin_port=0)
        assert "admin" not in document(without)
        assert "dataplane.admin.port" not in metadata(without)

    def test_where(self) -> None:
        admin = document(replace(SIDECAR, admin_address="127.0.0.2", admin_access_log_path="/l"))["admin"]
        assert admin["address"] == {"socket_address": {"address": "127.0.0.2", "port_value": 9901}}
        assert admin["access_log"][0]["typed_config"]["path"] == "/l"


class TestGateway:
    def test_a_sidecar_has_no_limits(self) -> None:
        assert "overload_manager" not in document(SIDECAR)
        assert len(document(SIDECAR)["layered_runtime"]["layers"]) == 1

    def test_connections_are_limited_always_memory_when_known(self) -> None:
        unknown = document(replace(SIDECAR, gateway=GatewayParams(max_connections=7)))["overload_manager"]
        assert [
            m["typed_config"]["max_active_downstream_connections"] for m in unknown["resource_monitors"]
        ] == [7]
        assert "actions" not in unknown
        known = document(replace(SIDECAR, gateway=GatewayParams(max_heap_size_bytes=1024)))[
            "overload_manager"
        ]
        assert known["resource_monitors"][1]["typed_config"]["max_heap_size_bytes"] == 1024
        assert [action["triggers"][0]["threshold"]["value"] for action in known["actions"]] == [0.95, 0.98]

    def test_runtime_comes_from_ads(self) -> None:
        layers = document(replace(SIDECAR, gateway=GatewayParams()))["layered_runtime"]["layers"]
        assert layers[1]["rtds_layer"]["name"] == "gateway.listeners"


class TestNames:
    def test_unified_for_sidecars_only(self) -> None:
        unified = render(replace(SIDECAR, unified_names=True))
        assert "name: system_ads\n" in unified
        assert "name: system_access_log_sink\n" in unified
        assert render(replace(ZONE_PROXY, unified_names=True)) == render(ZONE_PROXY)
