"""A real kuma-cp: names get addresses over REST, keep them over `kill -9`, and people see what happens."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab import ControlPlane, Lab, Program, dataplane, eventually, http, lab

CONFIG = "/configs/kuma-default-dns-vips"


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Lab]:
    with lab(tmp_path) as opened:
        yield opened


def register(plane: ControlPlane, name: str, service: str, **tags: str) -> None:
    plane.put(dataplane(name, service, app_port=1, tags=tags))


def addresses(plane: ControlPlane) -> dict[str, str]:
    """Of names; what is kept for names that are gone has no outbounds."""
    config = plane.get(CONFIG)
    entries = json.loads(config["config"]) if config else {}
    return {key: entry["address"] for key, entry in entries.items() if entry["outbounds"]}


def until(plane: ControlPlane, *names: str) -> dict[str, str]:
    """The addresses, once exactly these names have one."""
    found = eventually(
        lambda: found if set(found := addresses(plane)) == set(names) else None, f"names {names}"
    )
    return dict(found)


def external(name: str, address: str) -> dict[str, Any]:
    return {
        "type": "ExternalService",
        "mesh": "default",
        "name": name,
        "networking": {"address": address},
        "tags": {"kuma.io/service": name},
    }


VIRTUAL = {
    "type": "VirtualOutbound",
    "mesh": "default",
    "name": "versions",
    "selectors": [{"match": {"kuma.io/service": "*", "version": "*"}}],
    "conf": {
        "host": "{{.service}}.{{.version}}.example",
        "port": "8080",
        "parameters": [{"name": "service", "tagKey": "kuma.io/service"}, {"name": "version"}],
    },
}


AT_ONCE = {"KUMA_DNS_SERVER_DELETION_GRACE_PERIOD": "0s"}


def test_names_keep_their_addresses_over_kill_9_and_nobody_else_gets_them(started: Lab) -> None:
    plane = started.control_plane(**AT_ONCE)
    register(plane, "one", "web")
    until(plane, "0:web")
    register(plane, "two", "backend")
    plane.put(external("httpbin", "httpbin.example:443"))
    before = until(plane, "0:web", "0:backend", "0:httpbin", "1:httpbin.example")
    assert (before["0:web"], before["0:backend"]) == ("240.0.0.0", "240.0.0.1")
    stored = plane.get(CONFIG)
    plane.kill()
    plane.start()
    register(plane, "three", "a")
    after = until(plane, "0:a", *before)
    assert {name: after[name] for name in before} == before
    assert plane.get(CONFIG)["creationTime"] == stored["creationTime"]
    plane.delete("/meshes/default/dataplanes/one")
    others = until(plane, "0:a", "0:backend", "0:httpbin", "1:httpbin.example")
    plane.kill()
    plane.start()
    register(plane, "four", "b")
    assert until(plane, "0:b", *others)["0:b"] == "240.0.0.5"
    register(plane, "one", "web")
    assert until(plane, "0:b", "0:web", *others)["0:web"] == before["0:web"]
    assert plane.metric("vip_generation_count") > 0
    assert "Traceback" not in plane.program.log


def test_the_restart_of_the_only_instance_is_no_news_to_anybody(started: Lab) -> None:
    plane = started.control_plane()
    register(plane, "one", "web")
    register(plane, "two", "backend")
    before = until(plane, "0:web", "0:backend")
    stored = plane.get(CONFIG)
    for _ in range(10):
        plane.delete("/meshes/default/dataplanes/one")
        register(plane, "one", "web")
    assert plane.get(CONFIG) == stored
    plane.delete("/meshes/default/dataplanes/one")
    register(plane, "three", "a")
    assert until(plane, "0:a", *before)["0:a"] == "240.0.0.2"


def test_people_write_virtual_outbounds_with_kumactl(started: Lab) -> None:
    plane = started.control_plane()
    register(plane, "one", "backend", version="v1")
    said = plane.kumactl("apply", "-f", "-", stdin=yaml.safe_dump(VIRTUAL))
    assert "versions" in said
    assert until(plane, "0:backend", "2:backend.v1.example")["2:backend.v1.example"] == "240.0.0.1"
    outbound = json.loads(plane.get(CONFIG)["config"])["2:backend.v1.example"]["outbounds"]
    tags = {"kuma.io/service": "backend", "version": "v1"}
    assert outbound == [{"Port": 8080, "TagSet": tags, "Origin": "virtual-outbound:versions"}]
    shown = yaml.safe_load(plane.kumactl("get", "virtual-outbound", "versions", "-o", "yaml"))
    assert {key: shown[key] for key in VIRTUAL} == VIRTUAL
    assert "versions" in plane.kumactl("get", "virtual-outbounds")
    assert "kuma-default-dns-vips" in plane.kumactl("get", "configs")
    exported = list(yaml.safe_load_all(plane.kumactl("export", "--profile", "all")))
    assert [item["name"] for item in exported if item["type"] == "VirtualOutbound"] == ["versions"]
    assert "Config" not in {item["type"] for item in exported}
    plane.kumactl("delete", "virtual-outbound", "versions")
    until(plane, "0:backend")


def test_what_cannot_be_a_virtual_outbound_is_refused_in_kumas_words(started: Lab) -> None:
    plane = started.control_plane()
    wrong = VIRTUAL | {"conf": {"host": "x.example", "port": "http"}}
    status, body = http("PUT", f"{plane.api}/meshes/default/virtual-outbounds/versions", wrong)
    assert status == 400
    fields = {item["field"] for item in json.loads(body)["invalid_parameters"]}
    assert fields == {"conf.parameters", "conf.port"}


def test_the_addresses_are_read_by_administrators_and_written_by_nobody_else(started: Lab) -> None:
    plane = started.control_plane()
    register(plane, "one", "backend")
    until(plane, "0:backend")
    document = {"type": "Config", "name": "kuma-default-dns-vips", "config": "{}"}
    assert http("PUT", plane.api + CONFIG, document)[0] == 405
    assert http("DELETE", plane.api + CONFIG)[0] == 405
    assert addresses(plane) == {"0:backend": "240.0.0.0"}
    denied = started.control_plane(KUMA_API_SERVER_AUTHN_LOCALHOST_IS_ADMIN="false", KUMA_STORE_TYPE="memory")
    assert http("GET", denied.api + "/configs")[0] == 403


def test_the_operator_chooses_the_range_the_domain_and_the_services(started: Lab) -> None:
    plane = started.control_plane(
        KUMA_DNS_SERVER_CIDR="127.9.0.0/28", KUMA_DNS_SERVER_SERVICE_VIP_ENABLED="false"
    )
    register(plane, "one", "backend", version="v1")
    plane.put(VIRTUAL)
    assert until(plane, "2:backend.v1.example") == {"2:backend.v1.example": "127.9.0.0"}
    shown = plane.get("/config")["dnsServer"]
    assert (shown["CIDR"], shown["domain"], shown["serviceVipPort"]) == ("127.9.0.0/28", "mesh", 80)


def test_a_range_that_fills_up_is_one_error_and_a_metric_and_the_rest_works(started: Lab) -> None:
    plane = started.control_plane(KUMA_DNS_SERVER_CIDR="127.9.0.0/28", **AT_ONCE)
    for number in range(18):
        register(plane, f"dp-{number}", f"s-{number:02}")
    eventually(lambda: plane.metric("vip_allocation_exhaustion") == 2.0, "exhaustion")
    # The count is known before what it is about is written.
    held = until(plane, *(f"0:s-{number:02}" for number in range(16)))
    assert len(set(held.values())) == 16
    told = [line for line in plane.program.log.splitlines() if "KUMA_DNS_SERVER_CIDR" in line]
    assert len(told) == 1
    for gone in (0, 1):
        plane.delete(f"/meshes/default/dataplanes/dp-{gone}")
    until(plane, *(f"0:s-{number:02}" for number in range(2, 18)))
    eventually(lambda: plane.metric("vip_allocation_exhaustion") == 0.0, "room")


@pytest.mark.parametrize(
    ("environ", "told"),
    [
        ({"KUMA_DNS_SERVER_CIDR": "240.0.0.0/30"}, "has room for 4 names; use /28 or a wider range"),
        ({"KUMA_DNS_SERVER_CIDR": "240.0.0.0/40"}, "is no range of addresses"),
        ({"KUMA_DNS_SERVER_SERVICE_VIP_PORT": "70000"}, "is no port"),
    ],
)
def test_a_setting_that_cannot_work_is_one_line_at_start(
    tmp_path: Path, environ: dict[str, str], told: str
) -> None:
    plane = ControlPlane(tmp_path, environ)
    program = Program("kuma-cp", [sys.executable, "-m", "kumacp", "run"], tmp_path, plane.environ)
    eventually(lambda: not program.running, "the end")
    assert told in program.log
    assert "Traceback" not in program.log
    assert not (plane.work_dir / "kuma-cp.db").exists()
