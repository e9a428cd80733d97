"""What the builders make, in real Envoys: mTLS, RBAC of every form, permissive mode, retries."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from kumacp.xds.model import (
    CaSecret,
    Endpoint,
    IdentitySecret,
    InboundListener,
    LocalCluster,
    MatcherRbac,
    NotAll,
    OutboundListener,
    Principal,
    PrincipalPolicy,
    PrincipalRbac,
    Rbac,
    ServiceCluster,
    ServiceEndpoints,
    SourceTags,
    SpiffeRule,
    TlsMode,
    UnitInput,
    UriMatch,
)
from lab import Lab, free_port, http, lab, tcp_line
from mesh_pki import Pki
from static_envoy import StaticEnvoy

MESH = "default"
WEB = UriMatch("spiffe://default/web")
# The second service of web: rules must find it behind the first in the list of SANs.
WEB_API = UriMatch("spiffe://default/web-api")
OTHER = UriMatch("spiffe://default/other")
SERVER_NAME = "backend{case=server-name,mesh=default}"
VERSION_2 = UriMatch("kuma://version/v2")


def principals(*principals: Principal, shadow: tuple[Principal, ...] = (), http: bool = False) -> Rbac:
    shadow_deny = (PrincipalPolicy("shadow", shadow),) if shadow else ()
    return PrincipalRbac((PrincipalPolicy("allow", principals),), shadow_deny=shadow_deny, http=http)


RBACS: dict[str, tuple[str, Rbac]] = {
    "http": ("http", principals((WEB,))),
    "tcp": ("tcp", principals((WEB,))),
    "http-rbac": ("http", principals((replace(OTHER, negated=True),), shadow=((WEB,),), http=True)),
    "not-all": ("tcp", principals((NotAll((VERSION_2, OTHER)),))),
    "deny-all": ("http", PrincipalRbac((), http=True)),
    "rules": (
        "http",
        MatcherRbac(
            (
                SpiffeRule("first", allow=(WEB_API, OTHER)),
                SpiffeRule("second", deny=(UriMatch("spiffe://default/oth", prefix=True),)),
            ),
            http=True,
        ),
    ),
    "server-name": (
        "tcp",
        MatcherRbac((SpiffeRule("sni", allow=(replace(WEB, server_name=SERVER_NAME),)),)),
    ),
    "rules-and-from": (
        "tcp",
        MatcherRbac(
            (SpiffeRule("no-other", deny=(OTHER,)),),
            allow=(PrincipalPolicy("all", ((),)),),
            shadow_deny=(PrincipalPolicy("all", ((WEB_API,),)),),
        ),
    ),
    "permissive": ("http", principals((WEB,))),
}  # fmt: skip


@dataclass
class Scene:
    backend: StaticEnvoy
    inbound: dict[str, int]
    """Port of the inbound by case."""
    web: dict[str, int]
    """Port of the outbound of `web` by case, and of `other`, which the permissions do not name."""
    other: dict[str, int]


def server_units(pki: Pki, http_app: int, tcp_app: int) -> tuple[dict[str, int], list[UnitInput]]:
    units: list[UnitInput] = [
        *secrets(pki, "backend"),
        LocalCluster("127.0.0.1", http_app, "http"),
        LocalCluster("127.0.0.1", tcp_app, "tcp"),
    ]
    ports = {}
    for case, (protocol, rbac) in RBACS.items():
        ports[case] = free_port()
        units.append(
            InboundListener(
                address="127.0.0.1",
                port=ports[case],
                mesh=MESH,
                service="backend",
                tags=(("kuma.io/service", "backend"),),
                protocol=protocol,
                local_port=tcp_app if protocol == "tcp" else http_app,
                tls=TlsMode.PERMISSIVE if case == "permissive" else TlsMode.STRICT,
                rbac=rbac,
                reuse_port=False,
            )
        )
    return ports, units


def secrets(pki: Pki, *services: str, **tags: str) -> list[UnitInput]:
    return [
        CaSecret(MESH, pki.ca),
        IdentitySecret(MESH, *pki.identity(*services, **tags)),
        SourceTags((("kuma.io/service", ",".join(services)),)),
    ]


def way(
    case: str, protocol: str, endpoints: tuple[int, ...], *, service: str = "backend", tls: bool = True
) -> tuple[int, list[UnitInput]]:
    """Port of an outbound that leads to the endpoints, and its units."""
    port, tags = free_port(), (("case", case),)
    places = tuple(Endpoint("127.0.0.1", endpoint) for endpoint in endpoints)
    return port, [
        ServiceCluster(MESH, service, protocol, tls=tls, tags=tags),
        ServiceEndpoints(service, places, "", tags=tags),
        OutboundListener(
            address="127.0.0.1",
            port=port,
            mesh=MESH,
            service=service,
            tags=(*tags, ("kuma.io/service", service)),
            protocol=protocol,
            reuse_port=False,
        ),
    ]


def client_units(
    inbound: dict[str, int], secrets: list[UnitInput], breaker: int, http_app: int
) -> tuple[dict[str, int], list[UnitInput]]:
    ports, units = {}, list(secrets)
    dead = free_port()
    ways = {case: way(case, protocol, (inbound[case],)) for case, (protocol, _) in RBACS.items()}
    ways["plain-to-permissive"] = way("plain", "http", (inbound["permissive"],), tls=False)
    ways["plain-to-strict"] = way("plain-to-strict", "http", (inbound["http"],), tls=False)
    ways["imposter"] = way("imposter", "http", (inbound["http"],), service="payments")
    ways["dead-too"] = way("dead-too", "http", (dead, inbound["http"]))
    ways["tcp-dead-too"] = way("tcp-dead-too", "tcp", (dead, inbound["tcp"]))
    ways["breaks"] = way("breaks", "http", (breaker, inbound["permissive"]), tls=False)
    # The application itself speaks HTTP/1.1, which the cluster of a service that speaks tcp leaves as it is.
    port, (cluster, endpoints, listener) = way("bare", "tcp", (http_app,), tls=False)
    assert isinstance(listener, OutboundListener)
    ways["bare"] = (port, [cluster, endpoints, replace(listener, protocol="http")])
    for case, (port, needed) in ways.items():
        ports[case] = port
        units += needed
    return ports, units


@contextlib.contextmanager
def connection_breaker() -> Iterator[int]:
    """A server that reads from a connection and closes it without an answer, as a process that is killed
    with requests in flight."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    with connection:
                        connection.recv(65536)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder, pki = tmp_path_factory.mktemp("pair"), Pki.create(MESH)
    with lab(folder) as running, connection_breaker() as breaker:
        http_app, tcp_app = free_port(), free_port()
        running.app("http", "backend", http_app)
        running.app("tcp", "backend", tcp_app)
        inbound, units = server_units(pki, http_app, tcp_app)
        backend = start(running, folder, "backend", units)
        web_secrets = secrets(pki, "web", "web-api", version="v1")
        web, web_units = client_units(inbound, web_secrets, breaker, http_app)
        others = secrets(pki, "other", version="v2")
        other, other_units = client_units(inbound, others, breaker, http_app)
        for name, needed in (("web", web_units), ("other", other_units)):
            start(running, folder, name, needed).ready()
        yield Scene(backend.ready(), inbound, web, other)


def start(running: Lab, folder: Path, name: str, units: list[UnitInput]) -> StaticEnvoy:
    return StaticEnvoy(running, folder, name, units, free_port())


def get(port: int) -> int:
    return http("GET", f"http://127.0.0.1:{port}/")[0]


def line(port: int) -> bytes:
    return tcp_line(port, b"hello\n")


def test_http_passes_and_the_application_learns_the_client(scene: Scene) -> None:
    url = f"http://127.0.0.1:{scene.web['http']}/"
    status, body = http("GET", url, headers={"x-forwarded-client-cert": "URI=spiffe://default/admin"})
    assert status == 200
    headers = json.loads(body)["headers"]
    certificate = headers["x-forwarded-client-cert"]
    assert "URI=spiffe://default/web;URI=spiffe://default/web-api" in certificate
    assert "admin" not in certificate
    assert "x-kuma-tags" not in headers


def test_the_tags_of_the_source_travel_and_an_application_cannot_claim_others(scene: Scene) -> None:
    for ports, services in ((scene.web, "web,web-api"), (scene.other, "other")):
        claimed = {"x-kuma-tags": "&kuma.io/service=admin&"}
        status, body = http("GET", f"http://127.0.0.1:{ports['bare']}/", headers=claimed)
        assert status == 200
        assert json.loads(body)["headers"]["x-kuma-tags"] == f"&kuma.io/service={services}&"


def test_tcp_passes(scene: Scene) -> None:
    assert line(scene.web["tcp"]) == b"backend hello\n"


def test_a_client_that_no_permission_names_is_refused(scene: Scene) -> None:
    assert get(scene.other["http"]) == 503
    assert line(scene.other["tcp"]) == b""
    denied = scene.backend.stats(r"inbound_.*rbac\.denied")
    prefixes = [f"inbound_127_0_0_1_{scene.inbound[case]}." for case in ("http", "tcp")]
    assert all(denied[f"{prefix}rbac.denied"] > 0 for prefix in prefixes), denied


def test_plain_text_to_a_strict_inbound_is_refused(scene: Scene) -> None:
    assert get(scene.web["plain-to-strict"]) == 503
    assert get(scene.inbound["http"]) == 0


def test_a_server_of_another_service_is_refused(scene: Scene) -> None:
    assert get(scene.web["imposter"]) == 503


@pytest.mark.parametrize(
    ("case", "ask", "web", "other"),
    [
        ("http-rbac", get, 200, 403),
        ("deny-all", get, 403, 403),
        ("rules", get, 200, 403),
        ("not-all", line, b"backend hello\n", b""),
        ("server-name", line, b"backend hello\n", b""),
        ("rules-and-from", line, b"backend hello\n", b""),
    ],
)
def test_rbac_of_every_form(
    scene: Scene, case: str, ask: Callable[[int], object], web: object, other: object
) -> None:
    assert (ask(scene.web[case]), ask(scene.other[case])) == (web, other)


def test_shadow_denials_are_counted_and_pass(scene: Scene) -> None:
    before = scene.backend.stats(r"rbac\.shadow_denied")
    assert get(scene.web["http-rbac"]) == 200
    assert line(scene.web["rules-and-from"]) == b"backend hello\n"
    after = scene.backend.stats(r"rbac\.shadow_denied")
    counted = {name for name, value in after.items() if value > before.get(name, 0)}
    network = f"inbound_127_0_0_1_{scene.inbound['rules-and-from']}.rbac.shadow_denied"
    assert counted >= {network, f"http.localhost_{local_http_port(scene)}.rbac.shadow_denied"}


def local_http_port(scene: Scene) -> int:
    clusters = scene.backend.stats(r"^cluster\.localhost_[0-9]+\.upstream_rq_total$")
    used = [name for name, value in clusters.items() if value > 0]
    return int(used[0].split(".")[1].removeprefix("localhost_"))


def test_permissive_takes_plain_text_and_mesh_tls(scene: Scene) -> None:
    assert get(scene.inbound["permissive"]) == 200
    assert get(scene.other["plain-to-permissive"]) == 200
    assert get(scene.web["permissive"]) == 200
    assert get(scene.other["permissive"]) == 503


def test_no_request_fails_while_an_endpoint_is_dead(scene: Scene) -> None:
    assert [get(scene.web["dead-too"]) for _ in range(20)] == [200] * 20
    assert [line(scene.web["tcp-dead-too"]) for _ in range(10)] == [b"backend hello\n"] * 10


def test_no_request_fails_when_connections_break_before_the_answer(scene: Scene) -> None:
    assert [get(scene.web["breaks"]) for _ in range(20)] == [200] * 20
