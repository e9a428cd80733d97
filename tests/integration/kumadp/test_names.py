"""`kuma-dp run` answers the names that its real Envoy has listeners for."""

from __future__ import annotations

import signal
import socket

import dns.flags
import dns.message
import dns.query
import dns.rcode
import psutil
import pytest
from envoy.config.listener.v3 import listener_pb2
from google.protobuf import json_format

from agent_runs import FAKE_ENVOY, Agents, ask_ready, envoy_of, name_server_of
from lab import eventually, free_port, http
from name_plane import NamePlane

VIP, OTHER_VIP = "127.240.0.1", "127.240.0.2"


@pytest.fixture(params=[True, False], ids=["delta", "sotw"])
def names(request: pytest.FixtureRequest, kuma_dp: Agents) -> NamePlane:
    return NamePlane(kuma_dp.plane, str(kuma_dp.folder / "dynconf.sock"), delta=request.param)


class Proxy:
    """An agent with a name server on a port of its own."""

    def __init__(self, kuma_dp: Agents, *arguments: str, **environ: str) -> None:
        self.port, self.readiness, self.metrics_port = free_port(), free_port(), free_port()
        self.agent = kuma_dp.start(
            "--envoy-log-level=error",
            f"--dns-proxy-port={self.port}",
            f"--dns-prometheus-port={self.metrics_port}",
            *arguments,
            KUMA_READINESS_PORT=str(self.readiness),
            **environ,
        )

    def ready(self) -> Proxy:
        self.agent.wait_until(lambda: ask_ready(self.readiness)[0] == 200, "READY")
        return self

    def ask(self, name: str, qtype: str = "A", address: str = "127.0.0.1") -> dns.message.Message:
        query = dns.message.make_query(name, qtype)
        return dns.query.udp(query, address, port=self.port, timeout=20)

    def addresses(self, name: str, qtype: str = "A") -> list[str]:
        return [record.to_text() for answer in self.ask(name, qtype).answer for record in answer]

    def metrics(self) -> str:
        return http("GET", f"http://127.0.0.1:{self.metrics_port}/metrics")[1].decode()


def tcp_listener(name: str, ip: str, port: int) -> listener_pb2.Listener:
    """One that leads nowhere, for itself alone."""
    address = {"socket_address": {"address": ip, "port_value": port}}
    tcp = {
        "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
        "stat_prefix": "x",
        "cluster": "none",
    }
    filters = [{"name": "tcp", "typed_config": tcp}]
    chains = [{"filters": filters}]
    document = {"name": name, "address": address, "filter_chains": chains, "enable_reuse_port": False}
    return json_format.ParseDict(document, listener_pb2.Listener())


def closed_listener(name: str) -> listener_pb2.Listener:
    """One that no Envoy can open."""
    return tcp_listener(name, "192.0.2.1", 80)


def test_names_come_with_the_listeners_of_their_addresses(kuma_dp: Agents, names: NamePlane) -> None:
    port = free_port()
    at_vips = [tcp_listener(f"outbound:{vip}:{port}", vip, port) for vip in (VIP, OTHER_VIP)]
    names.first = [names.table({"backend.mesh": [VIP, "::ffff:7ff0:1"]}), *at_vips]
    proxy = Proxy(kuma_dp, "--bind-outbounds").ready()
    assert proxy.addresses("backend.mesh") == [VIP]
    assert proxy.addresses("BackEnd.mesh.", "AAAA") == ["::ffff:127.240.0.1"]
    reply = proxy.ask("nobody.mesh")
    assert reply.rcode() == dns.rcode.NXDOMAIN
    assert reply.flags & dns.flags.AA

    new = names.table({"backend.mesh": [OTHER_VIP], "orders.mesh": [VIP]})
    twins = closed_listener("twin")
    assert "duplicate" in names.push("refused", new, *at_vips, twins, twins) or not names.delta
    if names.delta:
        assert proxy.addresses("backend.mesh") == [VIP]
        assert proxy.ask("orders.mesh").rcode() == dns.rcode.NXDOMAIN
    refusal = names.push("in part", new, *at_vips, closed_listener("closed"))
    assert refusal.startswith("Error adding/updating listener(s) closed: cannot bind")
    eventually(lambda: proxy.addresses("orders.mesh") == [VIP], "the new table")
    assert proxy.addresses("backend.mesh") == [OTHER_VIP]

    assert names.push("gone", removed=["_kuma:dynamicconfig"]) == ""
    eventually(lambda: proxy.ask("backend.mesh").rcode() == dns.rcode.NXDOMAIN, "the end of the names")
    assert proxy.agent.end() == 0


@pytest.mark.parametrize("names", [True], indirect=True, ids=["delta"])
def test_a_broken_table_leaves_the_one_before_and_a_broken_entry_the_rest(
    kuma_dp: Agents, names: NamePlane
) -> None:
    names.first = [names.page("{")]
    proxy = Proxy(kuma_dp, "--bind-outbounds")
    proxy.agent.wait_until(lambda: "the name table is not JSON" in proxy.agent.log, "the complaint")
    assert ask_ready(proxy.readiness)[1] == "NOT_READY"
    assert proxy.ask("backend.mesh").rcode() == dns.rcode.SERVFAIL

    names.push("2", names.table({"backend.mesh": [VIP], "bad.mesh": ["256.0.0.1"], "a..b": [VIP]}))
    proxy.ready()
    assert proxy.addresses("backend.mesh") == [VIP]
    names.push("3", names.page('{"records": 7}'))
    proxy.agent.wait_until(lambda: "`records` of the name table is not a list" in proxy.agent.log, "the line")
    assert proxy.addresses("backend.mesh") == [VIP]
    (line,) = (line for line in proxy.agent.log.splitlines() if "entries of the name table" in line)
    assert "that are not used: 2 (" in line
    assert "bad.mesh" in line
    assert proxy.agent.end() == 0


@pytest.mark.parametrize("names", [True], indirect=True, ids=["delta"])
def test_a_proxy_that_waits_too_long_for_names_is_ready_and_says_so(
    kuma_dp: Agents, names: NamePlane
) -> None:
    names.first = [names.page("{")]
    proxy = Proxy(kuma_dp, "--bind-outbounds").ready()
    assert "ready without the names of the mesh" in proxy.agent.log
    status, text, headers = ask_ready(proxy.readiness)
    assert (status, text) == (200, "READY")
    assert headers["x-kuma-dp-remark"] == "without the names of the mesh"
    assert "kuma_dp_dns_ready_without_names 1.0" in proxy.metrics()
    assert proxy.ask("backend.mesh").rcode() == dns.rcode.SERVFAIL
    names.push("2", names.table({"backend.mesh": [VIP]}))
    eventually(lambda: proxy.addresses("backend.mesh") == [VIP], "the names")
    eventually(lambda: "x-kuma-dp-remark" not in ask_ready(proxy.readiness)[2], "the end of the remark")
    assert "kuma_dp_dns_ready_without_names 0.0" in proxy.metrics()
    assert proxy.agent.end() == 0


def test_a_name_does_not_lead_to_whoever_else_has_its_address(kuma_dp: Agents, names: NamePlane) -> None:
    vips, port = {"mine.mesh": "127.240.0.1", "theirs.mesh": "127.240.0.2"}, free_port()
    listeners = [tcp_listener(f"outbound:{vip}:{port}", vip, port) for vip in vips.values()]
    names.first = [names.table({name: [vip] for name, vip in vips.items()}), *listeners]
    with socket.create_server((vips["theirs.mesh"], port)):
        proxy = Proxy(kuma_dp, "--bind-outbounds")
        proxy.agent.wait_until(lambda: "names get no address where Envoy" in proxy.agent.log, "the warning")
        eventually(lambda: proxy.addresses("mine.mesh") == [vips["mine.mesh"]], "the other name")
        reply = proxy.ask("theirs.mesh")
        assert (reply.rcode(), reply.answer) == (dns.rcode.NOERROR, [])
    assert "1 (theirs.mesh 127.240.0.2); another program of this host has it" in proxy.agent.log
    assert names.push("free", *names.first) == ""
    eventually(lambda: proxy.addresses("theirs.mesh") == [vips["theirs.mesh"]], "the address")
    proxy.ready()
    assert proxy.agent.end() == 0


@pytest.mark.parametrize("names", [True], indirect=True, ids=["delta"])
def test_a_name_server_that_dies_is_replaced_and_the_proxy_goes_on(kuma_dp: Agents, names: NamePlane) -> None:
    names.first = [names.table({"backend.mesh": [VIP]})]
    proxy = Proxy(kuma_dp, "--bind-outbounds").ready()
    worker, envoy = name_server_of(proxy.agent), envoy_of(proxy.agent)
    worker.kill()
    assert proxy.addresses("backend.mesh") == [VIP]
    proxy.agent.wait_until(lambda: "the name server has ended (signal 9)" in proxy.agent.log, "its line")
    assert name_server_of(proxy.agent).pid != worker.pid
    assert ask_ready(proxy.readiness)[0] == 200
    assert envoy.is_running()
    names.push("2", names.table({"backend.mesh": [OTHER_VIP]}))
    eventually(lambda: proxy.addresses("backend.mesh") == [OTHER_VIP], "a new table in the new worker")
    assert proxy.agent.end() == 0


def test_names_are_answered_until_envoy_is_gone(kuma_dp: Agents) -> None:
    recorded = kuma_dp.folder / "envoy.log"
    recorded.touch()
    proxy = Proxy(
        kuma_dp, f"--binary-path={FAKE_ENVOY}", FAKE_ENVOY_LOG=str(recorded), FAKE_ENVOY_STUBBORN="1"
    )
    proxy.agent.wait_until(lambda: "argv" in recorded.read_text(), "Envoy's start")
    kuma_dp.until_supervised(proxy.agent)
    worker = name_server_of(proxy.agent)
    assert proxy.ask("backend.mesh").rcode() == dns.rcode.SERVFAIL  # it works, so it has its signals in hand
    for stop in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        worker.send_signal(stop)
    proxy.agent.process.send_signal(signal.SIGTERM)
    proxy.agent.wait_until(lambda: "SIGTERM" in recorded.read_text(), "SIGTERM at Envoy")
    assert proxy.ask("backend.mesh").rcode() == dns.rcode.SERVFAIL
    assert name_server_of(proxy.agent).pid == worker.pid
    assert proxy.agent.end() == 1
    assert not psutil.pid_exists(worker.pid)
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", proxy.port))


def test_a_table_survives_the_stream_that_brought_it(kuma_dp: Agents, names: NamePlane) -> None:
    names.first = [names.table({"backend.mesh": [VIP]})]
    proxy = Proxy(kuma_dp, "--bind-outbounds").ready()
    kuma_dp.plane.cut()
    proxy.agent.wait_until(lambda: len(kuma_dp.plane.streams) > 1, "another stream")
    proxy.agent.wait_until(lambda: len(kuma_dp.plane.streams[-1].requests) > 2, "its answers")
    assert proxy.addresses("backend.mesh") == [VIP]
    assert proxy.agent.log.count("names of the mesh are answered") == 1
    assert proxy.agent.end() == 0


@pytest.mark.parametrize("names", [True], indirect=True, ids=["delta"])
def test_figures_about_names_are_on_a_page_of_the_agent(kuma_dp: Agents, names: NamePlane) -> None:
    names.first = [names.table({"backend.mesh": [VIP]})]
    proxy = Proxy(kuma_dp, "--bind-outbounds").ready()
    assert proxy.addresses("backend.mesh") == [VIP]
    local = 'kuma_dp_dns_queries_total{qtype="A",source="local"} 1.0'
    eventually(lambda: local in proxy.metrics(), "the counted query")
    page = proxy.metrics()
    assert "kuma_dp_dns_entries_total 1.0" in page
    assert "kuma_dp_dns_config_ready_wait_seconds_count 1.0" in page
    assert "kuma_dp_dns_ready_without_names 0.0" in page
    assert http("GET", f"http://127.0.0.1:{proxy.metrics_port}/else")[0] == 404
    assert proxy.agent.end() == 0


@pytest.mark.parametrize("names", [True], indirect=True, ids=["delta"])
def test_without_use_of_names_nobody_waits_for_them(kuma_dp: Agents, names: NamePlane) -> None:
    names.first = [names.page("{")]
    proxy = Proxy(kuma_dp).ready()
    assert proxy.agent.end() == 0
    without = Proxy(kuma_dp, "--dns-enabled=false", "--bind-outbounds").ready()
    children = psutil.Process(without.agent.process.pid).children()
    assert children == [envoy_of(without.agent)]
    assert without.metrics() == ""
    request = kuma_dp.plane.bootstrap_requests[-1]
    assert "dnsPort" not in request
    assert "feature-embedded-dns" not in request["features"]
    assert without.agent.end() == 0
