"""What models tell besides their fields (contract 3.5, 5.3; kuma-cp 2.5)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from kumamesh.resources.dataplane import Dataplane, Gateway, Health, Inbound, Networking, Outbound
from kumamesh.resources.insight import DataplaneInsight, DiscoverySubscription
from kumamesh.resources.mesh import (
    DpCert,
    DpCertRotation,
    Mesh,
    MeshNetworking,
    MeshOutbound,
    Mtls,
    MtlsBackend,
)
from kumamesh.resources.rest import spec_from_json, spec_to_json

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("inbound", "listener", "workload"),
    [
        (Inbound(port=80), "10.0.0.1", ("10.0.0.1", 80)),
        (Inbound(port=80, address="10.0.0.2"), "10.0.0.2", ("10.0.0.2", 80)),
        (Inbound(port=80, service_port=8080), "10.0.0.1", ("10.0.0.1", 8080)),
        (Inbound(port=80, service_address="127.0.0.1"), "10.0.0.1", ("127.0.0.1", 80)),
    ],
)
def test_where_an_inbound_listens_and_where_its_application_is(
    inbound: Inbound, listener: str, workload: tuple[str, int]
) -> None:
    networking = Networking(address="10.0.0.1", inbound=(inbound,))
    assert networking.inbound_address(inbound) == listener
    assert networking.workload(inbound) == workload


def test_other_proxies_use_the_advertised_address() -> None:
    assert Networking(address="10.0.0.1").advertised == "10.0.0.1"
    assert Networking(address="10.0.0.1", advertised_address="1.2.3.4").advertised == "1.2.3.4"


@pytest.mark.parametrize(
    ("inbound", "protocol"),
    [
        (Inbound(), "tcp"),
        (Inbound(protocol="http"), "http"),
        (Inbound(protocol="http", tags={"kuma.io/protocol": "grpc"}), "grpc"),
    ],
)
def test_the_tag_says_the_protocol_before_the_field(inbound: Inbound, protocol: str) -> None:
    assert inbound.protocol_name == protocol


@pytest.mark.parametrize(
    ("inbound", "healthy"),
    [
        (Inbound(), True),
        (Inbound(health=Health(ready=True)), True),
        (Inbound(health=Health()), False),
        (Inbound(state="NotReady"), False),
        (Inbound(state="Ignored"), False),
        (Inbound(state="NotReady", health=Health(ready=True)), False),
    ],
)
def test_an_inbound_is_healthy_when_ready_in_both_ways(inbound: Inbound, healthy: bool) -> None:
    assert inbound.healthy is healthy


def test_services_and_tags_of_a_proxy_come_from_all_inbounds() -> None:
    proxy = Dataplane(
        networking=Networking(
            inbound=(
                Inbound(tags={"kuma.io/service": "web", "version": "2"}),
                Inbound(tags={"kuma.io/service": "api", "version": "1"}),
                Inbound(tags={"kuma.io/service": "web"}),
            )
        )
    )
    assert proxy.services() == ("api", "web")
    assert proxy.tag_values() == {"kuma.io/service": ("api", "web"), "version": ("1", "2")}


def test_services_and_tags_of_a_gateway_come_from_the_gateway() -> None:
    proxy = Dataplane(networking=Networking(gateway=Gateway(tags={"kuma.io/service": "edge"})))
    assert proxy.services() == ("edge",)
    assert proxy.tag_values() == {"kuma.io/service": ("edge",)}


def test_an_outbound_is_local_unless_it_says_otherwise() -> None:
    outbound = Outbound(port=1, tags={"kuma.io/service": "web"})
    assert (outbound.address, outbound.service) == ("127.0.0.1", "web")
    assert outbound == Outbound(port=1, address="127.0.0.1", tags={"kuma.io/service": "web"})


def test_a_mesh_has_mtls_when_one_of_its_backends_is_enabled() -> None:
    backend = MtlsBackend(name="a", type="builtin")
    assert Mesh(mtls=Mtls(enabled_backend="a", backends=(backend,))).enabled_backend == backend
    assert Mesh(mtls=Mtls(backends=(backend,))).enabled_backend is None
    assert Mesh(mtls=Mtls(enabled_backend="b", backends=(backend,))).enabled_backend is None
    assert Mesh().enabled_backend is None


def test_lifetimes_and_key_size_have_defaults() -> None:
    backend = MtlsBackend(name="a", type="builtin")
    assert (backend.certificate_lifetime_s, backend.rsa_bits) == (86_400, 2048)
    assert backend.ca_lifetime_s == 10 * 365 * 86_400


def test_lifetimes_and_key_size_are_taken_from_the_backend() -> None:
    backend = MtlsBackend(
        name="a",
        type="builtin",
        dp_cert=DpCert(rotation=DpCertRotation(expiration="30s")),
        conf={"caCert": {"RSAbits": 4096, "expiration": "1y"}},
    )
    assert (backend.certificate_lifetime_s, backend.rsa_bits) == (30, 4096)
    assert backend.ca_lifetime_s == 365 * 86_400


@pytest.mark.parametrize(("given", "passes"), [(None, True), (True, True), (False, False)])
def test_traffic_passes_through_unless_forbidden(given: bool | None, passes: bool) -> None:
    mesh = Mesh(networking=MeshNetworking(outbound=MeshOutbound(passthrough=given)))
    assert mesh.passthrough is passes


def test_a_proxy_is_online_while_one_of_its_streams_is_open() -> None:
    closed = DiscoverySubscription(connect_time=NOW, disconnect_time=NOW)
    opened = DiscoverySubscription(connect_time=NOW)
    assert DataplaneInsight(subscriptions=(opened, closed)).online
    assert not DataplaneInsight(subscriptions=(closed,)).online
    assert not DataplaneInsight().online


def test_counters_are_strings_in_json_and_read_as_both() -> None:
    body: dict[str, Any] = {
        "subscriptions": [
            {
                "id": "1",
                "connectTime": "2026-01-02T03:04:05Z",
                "status": {"total": {"responsesSent": "3", "responsesAcknowledged": 2}},
            }
        ],
        "mTLS": {"certificateRegenerations": 4, "issuedBackend": "ca-1"},
        "metadata": {"features": ["a"], "n": 1.5},
    }
    insight = spec_from_json("DataplaneInsight", body)
    assert isinstance(insight, DataplaneInsight)
    assert insight.subscriptions[0].status.total.responses_sent == 3
    body["subscriptions"][0]["status"]["total"]["responsesAcknowledged"] = "2"
    assert spec_to_json(insight) == body


def test_specs_are_frozen_values() -> None:
    body = {"networking": {"inbound": [{"port": 1, "tags": {"a": "b"}}]}}
    one, two = spec_from_json("Dataplane", body), spec_from_json("Dataplane", body)
    assert one == two
    assert hash(one) == hash(two)
    with pytest.raises(ValidationError):
        one.networking = Networking()  # type: ignore[attr-defined]  # it must not be possible


def test_configurations_of_any_form_are_hashable_too() -> None:
    mesh = Mesh(mtls=Mtls(backends=(MtlsBackend(name="a", conf={"list": [1, {"x": [2]}]}),)))
    assert hash(mesh) == hash(mesh.model_copy())
    assert spec_to_json(mesh)["mtls"]["backends"][0]["conf"] == {"list": [1, {"x": [2]}]}


def test_models_with_the_same_fields_share_what_says_which() -> None:
    one, other = Inbound(port=80), Inbound(port=81)
    assert one.__pydantic_fields_set__ is other.__pydantic_fields_set__
    assert one.model_fields_set == {"port"}
    assert one.model_copy(update={"address": "10.0.0.2"}).model_fields_set == {"port", "address"}
    assert other.model_fields_set == {"port"}


def test_tags_share_their_texts() -> None:
    first, second = (
        spec_from_json("Dataplane", {"networking": {"inbound": [{"port": 80, "tags": {key: value}}]}})
        for key, value in (("".join(("te", "am")), "".join(("a", "b"))) for _ in range(2))
    )
    [(one, its)], [(other, others)] = (spec.networking.inbound[0].tags.items() for spec in (first, second))
    assert one is other
    assert its is others
