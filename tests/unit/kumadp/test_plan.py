"""The plan: identity, request, ports, features, addresses."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from kumadp.envoy.version import EnvoyVersion
from kumadp.name_serving import NameServing
from kumadp.plan import (
    HostFacts,
    Identity,
    bootstrap_url,
    check,
    features,
    identify,
    is_local,
    make_plan,
)
from kumadp.proxy_resource import ProxyResource, parse_resource
from kumadp.settings import DpSettings
from kumamesh.errors import UserError
from kumamesh.settings import resolve
from kumamesh.transparent_proxy.config import Config

FACTS = HostFacts(
    work_dir=Path("/run/dp"),
    admin_port=0,
    readiness_port=9902,
    envoy_binary=Path("/opt/envoy"),
    envoy_version=EnvoyVersion("1.40.0", "abc/1.40.0/Clean/RELEASE/BoringSSL"),
    ca_pem="PEM",
    system_ca_path="/etc/ssl/cert.pem",
    ipv6=True,
    memory_limit_bytes=0,
    token_path=None,
)
NAMES = NameServing(("127.0.0.1",), 15_053, exact=False, redirected=False, awaited=False)


def settings(**flags: Any) -> DpSettings:
    return resolve(DpSettings, flags=flags).settings


def dataplane(networking: str = "{address: 127.0.0.1}") -> ProxyResource:
    return parse_resource(
        f"{{type: Dataplane, mesh: demo, name: web-1, networking: {networking}}}", "dataplane", "dp.yaml"
    )


def test_the_request_has_exactly_the_keys_of_the_contract() -> None:
    facts = dataclasses.replace(FACTS, token_path=Path("/t"))
    body = make_plan(settings(), dataplane(), facts).request("the-token")
    assert body == {
        "mesh": "demo",
        "name": "web-1",
        "proxyType": "dataplane",
        "dataplaneToken": "the-token",
        "dataplaneTokenPath": "/t",
        "dataplaneResource": body["dataplaneResource"],
        "version": {
            "kumaDp": {
                "version": "2.13.0",
                "gitTag": "unknown",
                "gitCommit": "unknown",
                "buildDate": "unknown",
            },
            "envoy": {
                "version": "1.40.0",
                "build": "abc/1.40.0/Clean/RELEASE/BoringSSL",
                "kumaDpCompatible": True,
            },
        },
        "caCert": "PEM",
        "dynamicMetadata": None,
        "readinessPort": 9902,
        "operatingSystem": "linux",
        "features": list(features(settings(), names=False, redirected=False)),
        "resources": {"maxHeapSizeBytes": 0},
        "workdir": "/run/dp",
        "metricsResources": {"certPath": "", "keyPath": ""},
        "systemCaPath": "/etc/ssl/cert.pem",
        "ipv6Enabled": True,
        "spireResources": {"socketPath": ""},
    }
    assert json.loads(body["dataplaneResource"])["name"] == "web-1"


def test_what_is_not_there_is_left_out_of_the_request() -> None:
    body = make_plan(settings(name="web-1"), None, FACTS).request("")
    assert {"dataplaneToken", "dataplaneTokenPath", "dataplaneResource", "dnsPort"}.isdisjoint(body)


def test_features_follow_the_settings() -> None:
    assert features(settings(), names=False, redirected=False) == (
        "feature-tcp-accesslog-via-named-pipe",
        "feature-delta-grpc",
        "feature-readiness-unix-socket",
        "feature-strict-inbound-ports",
        "feature-reuse-port",
    )
    none = settings(readiness_unix_socket_disabled=True, strict_inbound_ports=False, reuse_port=False)
    always = ("feature-tcp-accesslog-via-named-pipe", "feature-delta-grpc")
    assert features(none, names=False, redirected=False) == always
    assert features(none, names=True, redirected=False) == (*always, "feature-embedded-dns")
    assert features(none, names=False, redirected=True) == (
        *always,
        "feature-transparent-proxy-in-dataplane-metadata",
    )
    bound = dataclasses.replace(none, bind_outbounds=True)
    assert features(bound, names=False, redirected=False) == (*always, "feature-bind-outbounds")
    ingress = dataclasses.replace(bound, proxy_type="ingress")
    assert features(ingress, names=False, redirected=False) == always


def test_dns_is_told_by_kuma_s_marker_and_redirection_by_what_is_answered_here() -> None:
    facts = dataclasses.replace(FACTS, dns_port=40_053)
    plan = make_plan(settings(), dataplane(), facts, NAMES, Config(dns_capture_all=True))
    body = plan.request("")
    assert body["dnsPort"] == 15_054
    assert {"feature-embedded-dns", "feature-transparent-proxy-in-dataplane-metadata"} <= set(
        body["features"]
    )
    assert body["dataplaneConfig"] == {
        "ipFamilyMode": "dualstack",
        "redirect": {
            "inbound": {"enabled": True, "port": 15_006},
            "outbound": {"enabled": True, "port": 15_001},
            "dns": {"enabled": True, "port": 40_053},
        },
    }


def test_without_dns_redirection_of_dns_is_off_whatever_the_rules_say() -> None:
    body = make_plan(
        settings(), dataplane(), FACTS, None, Config(dns_enabled=True, dns_capture_all=True)
    ).request("")
    assert body["dataplaneConfig"]["redirect"]["dns"] == {"enabled": False, "port": 15_053}
    assert "dnsPort" not in body
    assert "feature-embedded-dns" not in body["features"]


def test_other_dns_ports_are_logged() -> None:
    facts = dataclasses.replace(FACTS, dns_port=40_003, dns_metrics_port=40_004)
    assert make_plan(settings(), dataplane(), facts, NAMES).notes == (
        "port 15053 is taken; names are answered on 40003",
        "port 19153 is taken; GET /metrics about DNS is on 40004",
    )
    facts = dataclasses.replace(FACTS, dns_port=15_053, dns_metrics_port=0)
    assert make_plan(settings(), dataplane(), facts, NAMES).notes == ()


def test_a_free_admin_port_goes_into_the_resource_and_the_log() -> None:
    plan = make_plan(settings(), dataplane(), dataclasses.replace(FACTS, admin_port=40_001))
    assert plan.resource
    assert plan.resource.admin_port == 40_001
    assert plan.notes == ("port 9901 is taken; Envoy's admin interface gets 40001",)


def test_an_admin_port_of_the_user_stays() -> None:
    plan = make_plan(settings(), dataplane("{admin: {port: 7777}}"), FACTS)
    assert plan.resource
    assert plan.resource.admin_port == 7777
    assert plan.notes == ()


def test_another_readiness_port_is_logged_and_sent() -> None:
    plan = make_plan(settings(), dataplane(), dataclasses.replace(FACTS, readiness_port=40_002))
    assert plan.notes == ("port 9902 is taken; GET /ready is on 40002",)
    assert plan.request("")["readinessPort"] == 40_002


@pytest.mark.parametrize(
    ("flags", "identity"),
    [
        ({"name": "a"}, Identity("dataplane", "default", "a")),
        ({"name": "a", "mesh": "m"}, Identity("dataplane", "m", "a")),
        ({"name": "a", "mesh": "m", "proxy_type": "ingress"}, Identity("ingress", "", "a")),
        ({"name": "a", "proxy_type": "egress"}, Identity("egress", "", "a")),
    ],
)
def test_identity_from_flags(flags: dict[str, Any], identity: Identity) -> None:
    assert identify(settings(**flags), None) == identity


def test_identity_comes_from_one_place_only() -> None:
    assert identify(settings(), dataplane()) == Identity("dataplane", "demo", "web-1")
    with pytest.raises(UserError, match="--name cannot be given together with a resource"):
        identify(settings(name="x"), dataplane())
    with pytest.raises(UserError, match="--mesh cannot be given together with a resource"):
        identify(settings(mesh="x"), dataplane())
    with pytest.raises(UserError, match="the proxy has no name"):
        identify(settings(), None)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"drain_time": 0.0}, "--drain-time must be greater than 0"),
        ({"retry_backoff": 0.0}, "KUMA_CONTROL_PLANE_RETRY_BACKOFF must be"),
        ({"retry_max_duration": -1.0}, "KUMA_CONTROL_PLANE_RETRY_MAX_DURATION must be"),
        ({"readiness_port": 70_000}, "KUMA_READINESS_PORT must be between"),
        ({"concurrency": -1}, "--concurrency must not be negative"),
        ({"cp_address": "localhost:5678"}, "is not a URL such as"),
        ({"cp_address": "https://[::1"}, "is not a URL such as"),
        ({"cp_address": "https://host:99999"}, "is not a URL such as"),
        ({"cp_address": "grpcs://host:5678"}, "is not a URL such as"),
        ({"cp_address": "https://:5678"}, "is not a URL such as"),
        ({"cp_address": "https://a..b:5678"}, "is not a URL such as"),
        ({"cp_address": f"https://{'a' * 64}.x:5678"}, "is not a URL such as"),
        ({"cp_address": "https://a b:5678"}, "is not a URL such as"),
        ({"cp_address": "https://host:5678?x=1 2"}, "is not a URL such as"),
        ({"cp_address": "https://host:5678\n"}, "is not a URL such as"),
    ],
)
def test_unusable_values_are_refused(flags: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        check(settings(**flags))


def test_an_address_with_a_password_is_refused_without_repeating_it() -> None:
    with pytest.raises(UserError, match="must not hold a user name or a password") as caught:
        bootstrap_url("https://user:secret@cp:5678")
    assert "secret" not in str(caught.value)


def test_the_path_of_the_address_is_replaced() -> None:
    assert bootstrap_url("https://cp:5678/some/path?zone=a") == "https://cp:5678/bootstrap?zone=a"
    assert bootstrap_url("https://[::1]:5678") == "https://[::1]:5678/bootstrap"


@pytest.mark.parametrize(
    ("address", "local"),
    [
        ("https://localhost:5678", True),
        ("https://LOCALHOST.:5678", True),
        ("https://127.0.0.9:5678", True),
        ("https://[::1]:5678", True),
        ("https://box:5678", True),
        ("https://cp.example:5678", False),
        ("https://10.0.0.1:5678", False),
    ],
)
def test_local_control_planes_are_recognised(address: str, local: bool) -> None:
    assert is_local(address, "Box") is local


def test_paths_are_in_the_work_dir() -> None:
    paths = make_plan(settings(), dataplane(), FACTS).paths
    assert paths.bootstrap == Path("/run/dp/bootstrap.yaml")
    assert paths.readiness_socket == Path("/run/dp/kuma-readiness-reporter.sock")
    assert paths.relay_socket.parent == paths.work_dir
