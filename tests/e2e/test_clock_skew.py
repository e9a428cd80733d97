"""Hosts whose clocks differ: by minutes it works, by more than that everybody is told which clock to set."""

from __future__ import annotations

import base64
import json
import shutil
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from kumamesh.tokens import DataplaneClaims, SigningKey, issue
from lab import ControlPlane, Lab, dataplane, eventually, free_port, http, mesh
from pair import start_pair

MINUTES = 240
"""Within what certificates are backdated."""
_SHIM = Path(__file__).parent.parent / "support" / "clock_shim.c"


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> str:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler is here to build the clock's shim with")
    library = tmp_path_factory.mktemp("shim") / "clock.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, _SHIM], check=True)
    return str(library)


def _off(shim: str, seconds: int) -> dict[str, str]:
    return {"LD_PRELOAD": shim, "CLOCK_OFFSET_S": str(seconds)}


@pytest.mark.parametrize("seconds", [MINUTES, -MINUTES])
def test_a_control_plane_minutes_off_serves_a_mesh_with_mtls(mesh_lab: Lab, shim: str, seconds: int) -> None:
    pair = start_pair(mesh_lab, **_off(shim, seconds))
    assert pair.identity() == "spiffe://default/web"
    said = "behind" if seconds > 0 else "ahead of"
    eventually(lambda: f"{said} that of the control plane" in pair.web.program.log, "a hint at the clocks")
    certificate = json.loads(pair.backend.admin("/certs"))["certificates"][0]["cert_chain"][0]
    assert certificate["valid_from"] < time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


@pytest.mark.parametrize("seconds", [MINUTES, -MINUTES])
def test_a_proxy_minutes_off_takes_part(mesh_lab: Lab, shim: str, seconds: int) -> None:
    plane = mesh_lab.control_plane()
    plane.put(mesh())
    app_port, port = free_port(), free_port()
    mesh_lab.app("http", "backend-1", app_port)
    mesh_lab.sidecar(plane, dataplane("backend-1", "backend", app_port=app_port)).ready()
    document = dataplane("web-1", "web", app_port=free_port(), outbounds={"backend": port})
    web = mesh_lab.sidecar(plane, document, environ=_off(shim, seconds)).ready()
    eventually(
        lambda: http("GET", f"http://127.0.0.1:{port}/")[0] == 200, "a request of the proxy that is off"
    )
    assert "Traceback" not in web.program.log


def test_beyond_that_the_proxy_says_which_clock_to_set_and_goes_on_asking(mesh_lab: Lab, shim: str) -> None:
    plane = mesh_lab.control_plane(**_off(shim, 3_600))
    web = mesh_lab.sidecar(plane, dataplane("web-1", "web", app_port=free_port()))
    web.program.wait_until(lambda: "is not valid yet by this host's clock" in web.program.log, "the reason")
    assert "set the clock" in web.program.log
    assert web.program.running


def test_a_token_of_an_issuer_whose_clock_is_off(mesh_lab: Lab) -> None:
    plane = mesh_lab.control_plane()
    # Within the five seconds by which tokens are backdated; the machine may take one for itself.
    assert _bootstrap(plane, _token(plane, ahead_s=4)) == (200, "")
    status, text = _bootstrap(plane, _token(plane, ahead_s=300))
    assert status == 401
    assert "token is not yet valid" in text
    assert "check the clocks of the issuer and of the control plane" in text
    assert _bootstrap(plane, _token(plane, ahead_s=-300, valid_for_s=360.0))[0] == 200
    status, text = _bootstrap(plane, _token(plane, ahead_s=-300, valid_for_s=299.0))
    assert status == 401
    assert "token is expired" in text


def _token(plane: ControlPlane, *, ahead_s: int, valid_for_s: float = 3_600.0) -> str:
    secret = plane.get("/meshes/default/secrets/dataplane-token-signing-key-default-1")
    key = SigningKey("1", base64.b64decode(secret["data"]))
    return issue(DataplaneClaims("web-1", "default"), key, now=time.time() + ahead_s, valid_for_s=valid_for_s)


def _bootstrap(plane: ControlPlane, token: str) -> tuple[int, str]:
    """(status, text unless it is a bootstrap)"""
    document = dataplane("web-1", "web", app_port=8080, inbound_port=8081)
    body = {
        "name": "web-1",
        "mesh": "default",
        "dataplaneToken": token,
        "dataplaneResource": json.dumps(document),
    }
    context = ssl.create_default_context(cafile=str(plane.work_dir / "kuma-cp.crt"))
    url = f"https://localhost:{plane.dp_port}/bootstrap"
    request = urllib.request.Request(url, json.dumps(body).encode(), method="POST")
    try:
        with urllib.request.urlopen(request, timeout=20, context=context) as answer:
            return answer.status, ""
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
