"""A zone ingress with the commands and the resource that people type."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import ControlPlane, Lab, Program, eventually, free_port, http, lab

RESOURCE = """\
type: ZoneIngress
name: ingress-01
networking:
  address: 127.0.0.1 # routable within the zone
  port: {port}
  advertisedAddress: 10.0.0.1 # what other zones use
  advertisedPort: 10000
"""


class Zone:
    """A control plane with the token of its zone proxies; `home` is that of who runs them on its machine."""

    def __init__(self, programs: Lab, folder: Path) -> None:
        self.lab, self.folder = programs, folder
        self.plane: ControlPlane = programs.control_plane(KUMA_MODE="zone", KUMA_MULTIZONE_ZONE_NAME="zone-1")
        self.token = folder / "zone-token"
        scopes = ("--scope", "egress", "--scope", "ingress")
        self.token.write_text(
            self.plane.kumactl("generate", "zone-token", "--zone=zone-1", "--valid-for=1h", *scopes)
        )
        self.home = folder / "home"
        (self.home / ".kuma").mkdir(parents=True)
        self.certificate = shutil.copy(self.plane.work_dir / "kuma-cp.crt", self.home / ".kuma")

    def ingress(self, resource: str, *arguments: str, home: Path | None = None) -> Program:
        path = self.folder / "ingress-dp.yaml"
        path.write_text(resource)
        argv = [
            sys.executable, "-m", "kumadp", "run", "--proxy-type=ingress",
            f"--cp-address=https://localhost:{self.plane.dp_port}",
            f"--dataplane-token-file={self.token}", *arguments, f"--dataplane-file={path}",
        ]  # fmt: skip
        environ = {"HOME": str(home or self.home), "PATH": os.environ["PATH"]}
        program = Program("ingress", argv, self.folder, environ)
        self.lab.adopt(program)
        return program

    def online(self) -> bool:
        rows = self.plane.kumactl("inspect", "zoneingresses").splitlines()
        return any(row.split()[:2] == ["ingress-01", "Online"] for row in rows)


@pytest.fixture
def zone(tmp_path: Path) -> Iterator[Zone]:
    with lab(tmp_path) as programs:
        yield Zone(programs, tmp_path)


@pytest.mark.promise("C12", part="whole")
@pytest.mark.promise("C11", part="whole")
def test_it_is_online_with_the_resource_as_it_stands(zone: Zone) -> None:
    port = free_port()
    program = zone.ingress(RESOURCE.format(port=port))
    program.wait_until(zone.online, "Online")
    stored = zone.plane.get("/zoneingresses/ingress-01")
    assert stored["zone"] == "zone-1"
    written = {
        "address": "127.0.0.1",
        "port": port,
        "advertisedAddress": "10.0.0.1",
        "advertisedPort": 10000,
    }
    assert stored["networking"].items() >= written.items()
    assert zone.plane.kumactl("get", "zoneingresses").splitlines()[1].split()[0] == "ingress-01"
    assert program.end() == 0
    eventually(lambda: zone.plane.get("/zoneingresses/ingress-01") is None, "deregistered")


@pytest.mark.promise("C12", part="whole")
def test_elsewhere_it_is_given_the_certificate(zone: Zone) -> None:
    nobody = zone.folder / "elsewhere"
    nobody.mkdir()
    resource = RESOURCE.format(port=free_port())
    program = zone.ingress(resource, f"--ca-cert-file={zone.certificate}", home=nobody)
    program.wait_until(zone.online, "Online")


@pytest.mark.promise("C11", part="whole")
@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("  advertisedPort: 10000\n", "networking.advertisedPort: has to be defined with advertisedAddress"),
        (
            "  advertisedAddress: 10.0.0.1 # what other zones use\n",
            "networking.advertisedAddress: has to be defined with advertisedPort",
        ),
        ("  port: 10001\n", "networking.port: port must be in the range [1, 65535]"),
    ],
)
def test_who_forgets_a_line_is_told_which(zone: Zone, line: str, text: str) -> None:
    program = zone.ingress(RESOURCE.format(port=10001).replace(line, ""))
    assert program.process.wait(30) == 1
    assert text in program.log.splitlines()[-1]
    assert "Traceback" not in program.log
    assert http("GET", f"{zone.plane.api}/zoneingresses/ingress-01")[0] == 404
