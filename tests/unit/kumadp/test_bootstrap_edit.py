"""The agent's own changes to a returned bootstrap."""

from __future__ import annotations

from typing import Any

import pytest

from kumadp.bootstrap_edit import with_admin_port, with_quick_reconnect
from kumadp_bootstrap.params import BootstrapParams
from kumadp_bootstrap.render import document
from kumadp_bootstrap.rewrite import admin_address, rewrite


def relayed(proxy_type: Any, hds: bool) -> dict[str, Any]:
    params = BootstrapParams(
        proxy_type=proxy_type, name="a", xds_host="localhost", xds_port=5678, ca_pem="PEM", hds=hds
    )
    return rewrite(document(params), "/tmp/relay.sock").document


@pytest.mark.parametrize("proxy_type", ["dataplane", "ingress", "egress"])
def test_the_admin_interface_moves_and_the_control_plane_learns_of_it(proxy_type: str) -> None:
    moved = with_admin_port(relayed(proxy_type, hds=False), 40_001)
    assert admin_address(moved) == ("127.0.0.1", 40_001)
    assert moved["node"]["metadata"]["dataplane.admin.port"] == "40001"


def test_every_stream_to_the_relay_reconnects_quickly() -> None:
    touched = with_quick_reconnect(relayed("dataplane", hds=True))
    for source in (touched["dynamic_resources"]["ads_config"], touched["hds_config"]):
        (service,) = source["grpc_services"]
        back_off = service["envoy_grpc"]["retry_policy"]["retry_back_off"]
        assert back_off == {"base_interval": "0.250s", "max_interval": "3s"}


def test_a_bootstrap_without_hds_gets_none() -> None:
    assert "hds_config" not in with_quick_reconnect(relayed("ingress", hds=False))
