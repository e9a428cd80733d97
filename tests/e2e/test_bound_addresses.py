"""Proxies that listen on virtual addresses themselves, on a host of their own and together on one."""

from __future__ import annotations

import json

import dns.message
import dns.query

from lab import ControlPlane, Lab, Sidecar, dataplane, eventually, free_port, http, mesh


class Scene:
    """A control plane whose virtual addresses are of `cidr`, and a service `backend`."""

    def __init__(self, lab: Lab, cidr: str = "127.241.0.0/16") -> None:
        self.lab = lab
        self.port = free_port()
        self.plane: ControlPlane = lab.control_plane(
            KUMA_DNS_SERVER_CIDR=cidr, KUMA_DNS_SERVER_SERVICE_VIP_PORT=str(self.port)
        )
        self.plane.put(mesh())
        app_port = free_port()
        lab.app("http", "backend-1", app_port)
        lab.sidecar(self.plane, dataplane("backend-1", "backend", app_port=app_port)).ready()
        self.dns_ports: dict[str, int] = {}

    def caller(self, service: str) -> Sidecar:
        self.dns_ports[service] = free_port()
        return self.lab.sidecar(
            self.plane,
            dataplane(f"{service}-1", service, app_port=free_port()),
            arguments=("--bind-outbounds", f"--dns-proxy-port={self.dns_ports[service]}"),
        ).ready()

    def address(self, caller: str, name: str = "backend.mesh") -> str:
        """What the caller's name server answers, "" for none."""
        query = dns.message.make_query(name, "A")
        answer = dns.query.udp(query, "127.0.0.1", port=self.dns_ports[caller], timeout=20).answer
        return answer[0][0].to_text() if answer else ""

    def seen_as(self, address: str) -> str:
        """The identity that backend sees when its address is called, "" without an answer."""
        status, body = http("GET", f"http://{address}:{self.port}/")
        identity = json.loads(body)["headers"]["x-forwarded-client-cert"] if status == 200 else ""
        return next((part for part in identity.split(";") if part.startswith("URI=spiffe:")), "")


def test_of_two_proxies_of_one_host_the_second_gets_no_calls_of_the_first(mesh_lab: Lab) -> None:
    scene = Scene(mesh_lab)
    scene.caller("web")
    address = eventually(lambda: scene.address("web"), "the name at web")
    eventually(lambda: scene.seen_as(address) == "URI=spiffe://default/web", "backend called by web")
    orders = scene.caller("orders")
    orders.program.wait_until(
        lambda: "names get no address where Envoy could not listen on it" in orders.program.log, "its warning"
    )
    assert scene.address("orders") == ""
    seen = {scene.seen_as(address) for _ in range(30)}
    assert seen == {"URI=spiffe://default/web"}


def test_addresses_that_are_not_of_this_host_are_no_answer(mesh_lab: Lab) -> None:
    """Calls would follow the default route out of it."""
    scene = Scene(mesh_lab, "240.0.0.0/4")
    web = scene.caller("web")
    web.program.wait_until(lambda: "KUMA_DNS_SERVER_CIDR in 127.0.0.0/8" in web.program.log, "its warning")
    assert scene.address("web") == ""
