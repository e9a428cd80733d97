"""Metrics, log and insights of a control plane with two real sidecars."""

from __future__ import annotations

import base64
import json
import re
import ssl
import sys
import urllib.request
from typing import Any

from kumacp.metrics import METRICS
from lab import Lab, Program, dataplane, eventually, free_port, http, mesh
from pair import Pair, start_pair

CLUSTER = "type.googleapis.com/envoy.config.cluster.v3.Cluster"


OF_MANY_ZONES = ("kds_", "zones_")
"""Metrics that a zone alone has not."""


def _metrics(pair: Pair) -> dict[str, float]:
    """Samples with their labels as they stand in the text."""
    status, body = http("GET", f"http://127.0.0.1:{pair.plane.diagnostics_port}/metrics")
    assert status == 200
    lines = (line.rpartition(" ") for line in body.decode().splitlines() if not line.startswith("#"))
    return {key: float(value) for key, _, value in lines}


def _mtls(pair: Pair, name: str) -> dict[str, Any]:
    overview = pair.plane.get(f"/meshes/default/dataplanes/{name}/_overview")
    found: dict[str, Any] = overview["dataplaneInsight"].get("mTLS", {})
    return found


def test_every_metric_is_there_and_tells_what_happened(mesh_lab: Lab) -> None:
    pair = start_pair(mesh_lab)
    http("GET", f"{pair.plane.api}/meshes/nowhere")
    pair.plane.put(dataplane("backend-2", "backend", app_port=free_port()))
    eventually(lambda: pair.plane.metric("xds_delivery_count") > 0, "a change that reached a proxy")
    found = _metrics(pair)
    _, text = http("GET", f"http://127.0.0.1:{pair.plane.diagnostics_port}/metrics")
    declared = dict(re.findall(r"^# TYPE (\w+) (\w+)$", text.decode(), re.MULTILINE))
    alone = {spec.name: spec.kind.value for spec in METRICS if not spec.name.startswith(OF_MANY_ZONES)}
    assert alone.items() <= declared.items()
    assert found["xds_streams_active"] == 2
    assert found['cert_generation{mesh="default"}'] == 2
    assert found[f'xds_responses_sent{{type_url="{CLUSTER}"}}'] >= 2
    assert found[f'xds_requests_received{{type_url="{CLUSTER}",confirmation="ACK"}}'] >= 2
    assert found['tokens_issued_total{kind="dataplane"}'] == 2
    assert found["proxies_registered_total"] == 2
    assert found['api_server_http_request_duration_seconds_count{code="200",method="POST"}'] == 2
    assert found['api_server_http_request_duration_seconds_count{code="404",method="GET"}'] == 1
    assert found['dp_server_http_request_duration_seconds_count{code="200",method="POST"}'] == 2
    assert found['store_count{operation="create",resource_type="Dataplane"}'] == 3
    assert found["store_size_bytes"] > 0
    assert found["xds_delivery_count"] == found['xds_change_to_ack_seconds_bucket{le="+Inf"}'] > 0
    assert found["process_open_fds"] > 0
    assert found["front_process_resident_memory_bytes"] > 0
    (info,) = (key for key in found if key.startswith("cp_info"))
    assert 'product="Kuma"' in info
    assert 'mode="zone"' in info


def test_insights_follow_mtls_as_it_is_switched_off_and_on(mesh_lab: Lab) -> None:
    pair = start_pair(mesh_lab, mode="STRICT")
    for name in ("web-1", "backend-1"):
        eventually(lambda name=name: _mtls(pair, name).get("issuedBackend") == "ca-1", "the backend")
        assert _mtls(pair, name)["supportedBackends"] == ["ca-1"]
    pair.plane.put(mesh(mode=None))
    eventually(lambda: not _mtls(pair, "web-1") and not _mtls(pair, "backend-1"), "no mTLS in insights")
    eventually(lambda: pair.identity() == "" and pair.call()[0] == 200, "plain text")
    pair.plane.put(mesh(mode="PERMISSIVE"))
    eventually(lambda: _mtls(pair, "backend-1").get("issuedBackend") == "ca-1", "the backend again")
    eventually(lambda: pair.identity() == "spiffe://default/web", "mTLS")
    log = pair.plane.program.log
    assert [line.split(": ", 1)[1] for line in log.splitlines() if "mTLS was switched" in line] == [
        "mTLS was switched on mesh=default backend=ca-1 mode=STRICT",
        "mTLS was switched off mesh=default",
        "mTLS was switched on mesh=default backend=ca-1 mode=PERMISSIVE",
    ]


def test_the_log_is_one_object_a_line_without_secrets_and_its_level_changes(mesh_lab: Lab) -> None:
    pair = start_pair(mesh_lab, KUMA_LOG_FORMAT="json")
    logging = f"http://localhost:{pair.plane.diagnostics_port}/logging"

    def lines() -> list[dict[str, Any]]:
        return [json.loads(line) for line in pair.plane.program.log.splitlines()]

    def told(message: str, **pairs: str) -> bool:
        wanted = {"message": message, **pairs}.items()
        return any(wanted <= line.items() for line in lines())

    assert told("kuma-cp is starting", mode="zone")
    assert told("kuma-cp is ready")
    for proxy in ("default.web-1", "default.backend-1"):
        assert told("registered", proxy=proxy)
        assert told("connected", proxy=proxy)
    assert not any(line["level"] == "debug" for line in lines())
    assert http("PUT", logging, {"component": "dpserver", "level": "debug"})[0] == 200
    assert json.loads(http("GET", logging)[1]) == {
        "level": "info",
        "components": {"kumacp.dpserver": "debug"},
    }
    assert pair.web.program.end() == 0
    pair.web.start()
    eventually(lambda: told("certificate issued", proxy="default.web-1", level="debug"), "a line of debug")
    assert told("disconnected", proxy="default.web-1", ending="clean")
    assert http("DELETE", logging)[0] == 200
    assert pair.plane.stop() == 0
    assert told("kuma-cp is stopping; proxies keep what they have")
    whole = pair.plane.program.log
    for sidecar in (pair.web, pair.backend):
        signature = sidecar.token_file.read_text().rpartition(".")[2]
        assert signature not in whole
    assert "PRIVATE KEY" not in whole


def test_a_refused_token_is_told_and_counted(mesh_lab: Lab) -> None:
    pair = start_pair(mesh_lab)
    http(
        "PUT",
        f"{pair.plane.api}/meshes/default/secrets/dataplane-token-revocations-default",
        {
            "type": "Secret",
            "mesh": "default",
            "name": "dataplane-token-revocations-default",
            "data": _encoded(_claims(pair.web.token_file.read_text())["jti"]),
        },
    )
    eventually(lambda: pair.plane.metric("tokens_refused_total") >= 1, "a refused token")
    eventually(lambda: "ending=rejected" in pair.plane.program.log, "the end of the stream")
    assert _metrics(pair)['tokens_refused_total{reason="revoked"}'] >= 1


def _claims(token: str) -> dict[str, Any]:
    part = token.split(".")[1]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return claims


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def test_diagnostics_over_tls_with_debug_pages(mesh_lab: Lab) -> None:
    plane = mesh_lab.control_plane(KUMA_DIAGNOSTICS_DEBUG_ENDPOINTS="true")
    pages = f"http://localhost:{plane.diagnostics_port}/debug"
    status, tasks = http("GET", f"{pages}/tasks")
    assert status == 200
    assert b"DpServer.run at " in tasks
    status, memory = http("GET", f"{pages}/memory")
    assert status == 200
    assert b"resident" in memory
    assert plane.stop() == 0
    plane.environ["KUMA_DIAGNOSTICS_TLS_ENABLED"] = "true"
    # The lab would ask for readiness without TLS.
    argv = [sys.executable, "-m", "kumacp", "run"]
    program = plane.program = Program("kuma-cp", argv, plane.folder, plane.environ)
    context = ssl.create_default_context(cafile=plane.work_dir / "kuma-cp.crt")

    def ready() -> bool:
        try:
            url = f"https://localhost:{plane.diagnostics_port}/ready"
            with urllib.request.urlopen(url, timeout=5, context=context) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    program.wait_until(ready, "ready over TLS")
