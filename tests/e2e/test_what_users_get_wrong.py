"""Common mistakes end in one clear line, a non-zero exit code and no process left behind."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from lab import ControlPlane, Lab, Program, dataplane, free_port


def _last_line(program: Program) -> str:
    """The one line at the end of a program that had to fail."""
    assert program.process.wait(60) != 0
    assert "Traceback" not in program.log
    return program.log.strip().splitlines()[-1]


def _failing_control_plane(folder: Path, **environ: str) -> str:
    plane = ControlPlane(folder, environ)
    with pytest.raises(AssertionError, match="ended with"):
        plane.start()
    return _last_line(plane.program)


@pytest.mark.parametrize(
    "variable", ["KUMA_DP_SERVER_PORT", "KUMA_API_SERVER_HTTP_PORT", "KUMA_DIAGNOSTICS_SERVER_PORT"]
)
def test_a_port_in_use_is_named_with_its_variable(tmp_path: Path, variable: str) -> None:
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        line = _failing_control_plane(tmp_path, **{variable: port})
    assert port in line
    assert "in use" in line
    assert variable in line


def test_a_work_dir_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.touch()
    line = _failing_control_plane(tmp_path, KUMA_GENERAL_WORK_DIR=str(blocked / "cp"))
    assert str(blocked) in line
    assert "KUMA_GENERAL_WORK_DIR" in line


def test_a_second_control_plane_on_one_database_is_refused(mesh_lab: Lab) -> None:
    plane = mesh_lab.control_plane()
    other = mesh_lab.folder / "other"
    other.mkdir()
    assert str(plane.work_dir) in _failing_control_plane(other, KUMA_GENERAL_WORK_DIR=str(plane.work_dir))


@pytest.mark.parametrize(
    ("environ", "reason"),
    [
        ({"KUMA_MODE": "planet"}, "Available modes"),
        ({"KUMA_DP_SERVER_PORT": "many"}, "KUMA_DP_SERVER_PORT is wrong: 'many' is not a whole number"),
        ({"KUMA_STORE_TYPE": "stone"}, "'stone' is not one of"),
        ({"KUMA_GENERAL_TLS_CERT_FILE": "/nowhere.crt"}, "KUMA_GENERAL_TLS_KEY_FILE"),
    ],
)
def test_wrong_settings_are_named(tmp_path: Path, environ: dict[str, str], reason: str) -> None:
    assert reason in _failing_control_plane(tmp_path, **environ)


_AGENT_CASES: dict[str, tuple[Callable[[Path], list[str]], dict[str, str], str]] = {
    "missing Envoy": (lambda _: ["--binary-path=/nowhere/envoy"], {}, "/nowhere/envoy"),
    "unreachable control plane": (
        lambda _: [f"--cp-address=https://localhost:{free_port()}"],
        {"KUMA_CONTROL_PLANE_RETRY_MAX_DURATION": "1s", "KUMA_CONTROL_PLANE_RETRY_BACKOFF": "100ms"},
        "localhost",
    ),
    "missing file": (lambda folder: [f"--dataplane-file={folder / 'none.yaml'}"], {}, "none.yaml"),
    "name with a resource": (lambda _: ["--name=web-1"], {}, "--name"),
    "unknown flag": (lambda _: ["--datplane-file=x"], {}, "--dat"),
    "wrong duration": (lambda _: ["--drain-time=soon"], {}, "'soon' is not a duration"),
}


@pytest.mark.parametrize("case", _AGENT_CASES)
def test_the_agent_names_cause_and_remedy(mesh_lab: Lab, case: str) -> None:
    arguments, environ, reason = _AGENT_CASES[case]
    plane = mesh_lab.control_plane()
    sidecar = mesh_lab.sidecar(
        plane,
        dataplane("web-1", "web", app_port=free_port()),
        arguments=arguments(mesh_lab.folder),
        environ=environ,
    )
    assert reason in _last_line(sidecar.program)
    assert plane.get("/meshes/default/dataplanes")["items"] == []


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"port": 0}, "port"),
        ({"prot": 80}, "prot"),
        ({"tags": {}}, "tags"),
    ],
)
def test_a_wrong_dataplane_is_refused_with_the_field(
    mesh_lab: Lab, change: dict[str, object], reason: str
) -> None:
    plane = mesh_lab.control_plane()
    document = dataplane("web-1", "web", app_port=free_port())
    document["networking"]["inbound"][0] |= change
    sidecar = mesh_lab.sidecar(plane, document)
    assert f"networking.inbound[0].{reason}" in sidecar_text(sidecar.program)
    assert plane.get("/meshes/default/dataplanes")["items"] == []


def sidecar_text(program: Program) -> str:
    _last_line(program)
    return program.log


def test_an_inline_token_is_warned_of_and_goes_to_no_other_process(mesh_lab: Lab) -> None:
    plane = mesh_lab.control_plane()
    token = plane.token("web-1")
    document = dataplane("web-1", "web", app_port=free_port())
    sidecar = mesh_lab.sidecar(plane, document, arguments=[f"--dataplane-token={token}"]).ready()
    assert "shows the token to every user" in sidecar.program.log
    assert token not in sidecar.program.log
    for child in psutil.Process(sidecar.program.process.pid).children(recursive=True):
        assert token not in " ".join([*child.cmdline(), *child.environ().values()])
    assert token.encode() not in sidecar.admin("/config_dump")
