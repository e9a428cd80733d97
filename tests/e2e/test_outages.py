"""Traffic goes on while certificates rotate, endpoints change and the control plane dies."""

from __future__ import annotations

import base64
import json
import random

import pytest
from cryptography import x509

from lab import Lab, dataplane, eventually, free_port, http, mesh, tcp_line
from load import Load
from pair import Pair, start_pair

CHANGES = 1000


def _serial(pair: Pair) -> str:
    """Serial number of the certificate that backend's Envoy presents, "" while it has none."""
    certificates = json.loads(pair.backend.admin("/certs"))["certificates"]
    return next(
        (entry["cert_chain"][0]["serial_number"] for entry in certificates if entry["cert_chain"]), ""
    )


@pytest.mark.promise("D03", part="five rotations under load, 0 failed")
def test_five_rotations_under_load_fail_no_request(mesh_lab: Lab) -> None:
    pair = start_pair(mesh_lab, expiration="10s")
    with Load(pair.port) as load:
        seen = {_serial(pair)}
        for _ in range(5):
            eventually(lambda: _serial(pair) not in seen, "a new certificate")
            seen.add(_serial(pair))
            load.wait_for(20)
    assert not load.failures


@pytest.mark.promise("D03", part="root, SAN and validity of certificates")
def test_certificates_have_kumas_names_and_validity(mesh_lab: Lab) -> None:
    pair = start_pair(mesh_lab)
    entry = json.loads(pair.backend.admin("/certs"))["certificates"][0]
    names = {name["uri"] for name in entry["cert_chain"][0]["subject_alt_names"]}
    assert {"spiffe://default/backend", "kuma://kuma.io/service/backend"} <= names
    assert entry["ca_cert"][0]["subject_alt_names"] == [{"uri": "spiffe://default"}]
    secret = pair.plane.get("/meshes/default/secrets/default.ca-builtin-cert-ca-1")
    root = x509.load_pem_x509_certificate(base64.b64decode(secret["data"]))
    assert root.subject.rfc4514_string() == "CN=default,OU=Mesh,O=Kuma"
    insight = pair.plane.get("/meshes/default/dataplanes/backend-1/_overview")["dataplaneInsight"]["mTLS"]
    assert insight["issuedBackend"] == "ca-1"


def test_control_plane_killed_and_restarted_under_load_fails_no_request(mesh_lab: Lab) -> None:
    pair = start_pair(mesh_lab)
    with Load(pair.port) as load:
        for _ in range(3):
            load.wait_for(50)
            pair.plane.kill()
            load.wait_for(50)
            pair.plane.start()
            eventually(lambda: _online(pair) == {"web-1", "backend-1"}, "both sidecars back")
            load.wait_for(50)
    assert not load.failures
    # What changes afterwards arrives again.
    pair.plane.delete("/meshes/default/traffic-permissions/allow-all-default")
    eventually(lambda: pair.call()[0] != 200, "the deletion to arrive")


def _online(pair: Pair) -> set[str]:
    items = pair.plane.get("/meshes/default/dataplanes/_overview")["items"]
    return {
        item["name"]
        for item in items
        if any("disconnectTime" not in one for one in item["dataplaneInsight"]["subscriptions"])
    }


def test_a_thousand_endpoint_changes_under_load_fail_no_request(mesh_lab: Lab) -> None:
    plane = mesh_lab.control_plane()
    plane.put(mesh())
    app_port, port = free_port(), free_port()
    mesh_lab.app("http", "backend", app_port)
    documents = []
    for number in (1, 2):
        document = dataplane(f"backend-{number}", "backend", app_port=app_port)
        first = document["networking"]["inbound"][0]
        document["networking"]["inbound"] = [{**first, "port": free_port()} for _ in range(4)]
        mesh_lab.sidecar(plane, document).ready()
        documents.append(document)
    web = dataplane("web-1", "web", app_port=free_port(), outbounds={"backend": port})
    mesh_lab.sidecar(plane, web).ready()
    eventually(lambda: http("GET", f"http://127.0.0.1:{port}/")[0] == 200, "a first request")
    choice = random.Random(7)
    with Load(port) as load:
        load.wait_for(20)
        for _ in range(CHANGES):
            document = choice.choice(documents)
            for inbound in document["networking"]["inbound"]:
                inbound["state"] = choice.choice(("Ready", "NotReady"))
            document["networking"]["inbound"][0]["state"] = "Ready"
            plane.put(document)
        load.wait_for(50)
    assert not load.failures


@pytest.mark.promise("K01", part="expired certificates fail, recovery when the control plane is back")
def test_expired_certificates_fail_until_the_control_plane_is_back(mesh_lab: Lab) -> None:
    # With TCP every connection of the client makes one of its own between the Envoys, so each call is a
    # new handshake; HTTP would go on over the connection that it has.
    pair = start_pair(mesh_lab, protocol="tcp", expiration="6s")
    eventually(lambda: tcp_line(pair.port, b"1\n") == b"backend-1 1\n", "a first answer")
    pair.plane.kill()
    eventually(lambda: tcp_line(pair.port, b"2\n") == b"", "a TLS failure after the certificates expired")
    assert (
        pair.web.stat("cluster.backend.ssl.fail_verify_error")
        + pair.web.stat("cluster.backend.ssl.connection_error")
        > 0
    )
    pair.plane.start()
    eventually(lambda: tcp_line(pair.port, b"3\n") == b"backend-1 3\n", "recovery")
    assert all(tcp_line(pair.port, b"4\n") == b"backend-1 4\n" for _ in range(20))


def test_an_instance_that_stops_and_starts_again_fails_no_request(mesh_lab: Lab) -> None:
    pair = start_pair(mesh_lab)
    app_port = free_port()
    mesh_lab.app("http", "backend-2", app_port)
    second = mesh_lab.sidecar(pair.plane, dataplane("backend-2", "backend", app_port=app_port))
    names = {"backend-1", "backend-2"}
    with Load(pair.port, threads=8, pause_s=0.002) as load:
        for _ in range(4):
            second.ready()
            eventually(lambda: {pair.call()[1].get("name") for _ in range(10)} == names, "both answering")
            load.wait_for(200)
            assert second.program.end() == 0
            load.wait_for(200)
            second.start()
    assert not load.failures
