"""What a real Envoy makes of the units that carry names, and of listeners that bind no port."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import dnslib
import pytest

import lab
from kumacp.xds.model import OutboundListener, SourceTags
from kumacp.xds.name_table import DnsListener, DynamicConfig, Page, Record, name_table
from kumacp.xds.outside import PassthroughListener
from static_envoy import StaticEnvoy

NAMES = name_table(
    [
        Record("backend.mesh", ("240.0.0.0", "::ffff:f000:0")),
        # Longer than what Envoy lets a direct response have by default.
        *(Record(f"service-{number:03d}.mesh", (f"240.0.1.{number}",)) for number in range(200)),
    ]
)
VIPS = ("240.0.0.0", "fd00:fd00::1")


@dataclass(frozen=True, slots=True)
class Scene:
    envoy: StaticEnvoy
    admin_port: int
    dns_port: int
    pipe: Path


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("names")
    dns_port, admin_port, passthrough = lab.free_port(), lab.free_port(), lab.free_port()
    pipe = folder / "kuma-mesh-metric-config.sock"
    units = [
        DynamicConfig(str(pipe), (Page("/dns", NAMES.etag, NAMES.document),), ipv6=False),
        DnsListener(dns_port, NAMES, reuse_port=True),
        SourceTags((("kuma.io/service", "web"),)),
        PassthroughListener("outbound:passthrough:ipv4", "127.0.0.1", passthrough, True, True),
        *(
            OutboundListener(
                vip, 80, "default", "b", (("kuma.io/service", "b"),), "http", True, ipv6=False, bind=False
            )
            for vip in VIPS
        ),
    ]
    with lab.lab(folder) as running:
        envoy = StaticEnvoy(running, folder, "names", units, admin_port)
        yield Scene(envoy.ready(), admin_port, dns_port, pipe)


class PipeConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost")
        self._path = str(path)

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(10)
        self.sock.connect(self._path)


def get(pipe: Path, path: str, etag: str = "") -> tuple[int, str | None, bytes]:
    """Status, ETag and body."""
    connection = PipeConnection(pipe)
    connection.request("GET", path, headers={"If-None-Match": etag} if etag else {})
    response = connection.getresponse()
    try:
        return response.status, response.headers["Etag"], response.read()
    finally:
        connection.close()


def test_the_document_with_its_etag(scene: Scene) -> None:
    assert len(NAMES.document) > 4096
    assert get(scene.pipe, "/dns") == (200, NAMES.etag, NAMES.document.encode())
    assert get(scene.pipe, "/dns", "of another document") == (200, NAMES.etag, NAMES.document.encode())


def test_not_modified(scene: Scene) -> None:
    status, _, body = get(scene.pipe, "/dns", NAMES.etag)
    assert (status, body) == (304, b"")


def test_another_page_is_not_there(scene: Scene) -> None:
    assert get(scene.pipe, "/meshmetric")[0] == 404


def ask(port: int, name: str, kind: str) -> dnslib.DNSRecord:
    question = dnslib.DNSRecord.question(name, kind)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(10)
        client.connect(("127.0.0.1", port))
        client.send(question.pack())
        return dnslib.DNSRecord.parse(client.recv(4096))


@pytest.mark.parametrize(
    ("name", "kind", "answers"),
    [
        ("backend.mesh", "A", {"240.0.0.0"}),
        ("backend.mesh", "AAAA", {"::ffff:f000:0"}),
        ("service-199.mesh", "A", {"240.0.1.199"}),
    ],
)
def test_envoys_own_name_server_knows_the_names(
    scene: Scene, name: str, kind: str, answers: set[str]
) -> None:
    reply = ask(scene.dns_port, name, kind)
    assert reply.header.rcode == dnslib.RCODE.NOERROR
    assert {str(record.rdata) for record in reply.rr} == answers
    assert {record.ttl for record in reply.rr} == {30}


def test_envoys_own_name_server_says_that_it_does_not_know_others(scene: Scene) -> None:
    """So that the agent's CoreDNS asks the servers of the host."""
    reply = ask(scene.dns_port, "example.org", "A")
    assert reply.header.rcode == dnslib.RCODE.NXDOMAIN
    assert not reply.rr


def test_listeners_of_virtual_addresses_are_there_without_a_port(scene: Scene) -> None:
    _, text = lab.http("GET", f"http://127.0.0.1:{scene.admin_port}/listeners?format=json")
    names = {one["name"] for one in json.loads(text)["listener_statuses"]}
    assert {f"outbound:{VIPS[0]}:80", f"outbound:[{VIPS[1]}]:80"} <= names
    assert {"_kuma:dynamicconfig", "kuma:dns"} <= names
