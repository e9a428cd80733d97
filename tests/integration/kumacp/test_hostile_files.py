"""What lies on the disk is for its owner alone, whatever the umask; no path of a request leads to a file."""

from __future__ import annotations

import json
import os
import socket
import ssl
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from lab import ControlPlane, Lab, dataplane, free_port, http, lab

PUBLIC = {"kuma-cp.crt"}


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Lab]:
    with lab(tmp_path) as opened:
        yield opened


@contextmanager
def _umask(mask: int) -> Iterator[None]:
    """For what is started inside."""
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def _open_to_others(folder: Path) -> dict[str, str]:
    modes = {path.name: _mode(path) for path in folder.rglob("*")}
    return {name: oct(mode) for name, mode in modes.items() if mode & 0o077 and name not in PUBLIC}


def test_files_and_sockets_of_the_control_plane_are_for_its_owner(started: Lab) -> None:
    work_dir = started.folder / "some" / "where" / "cp"
    with _umask(0):
        plane = started.control_plane(KUMA_GENERAL_WORK_DIR=str(work_dir))
    assert plane.token("web-1")
    names = {path.name for path in work_dir.iterdir()}
    assert {"kuma-cp.db", "kuma-cp.key", "kuma-cp.crt", "grpc.sock"} <= names
    assert _open_to_others(work_dir) == {}
    assert _mode(work_dir) == 0o700
    for parent in (work_dir.parent, work_dir.parent.parent):
        assert not _mode(parent) & 0o022, f"others may put something else in the place of {work_dir}"


def test_a_work_dir_that_was_there_and_is_open_to_all(started: Lab) -> None:
    work_dir = started.folder / "cp"
    work_dir.mkdir()
    work_dir.chmod(0o777)
    with _umask(0):
        started.control_plane()
    assert _open_to_others(work_dir) == {}


def test_a_work_dir_behind_a_link(started: Lab) -> None:
    real, link = started.folder / "real", started.folder / "link"
    real.mkdir(mode=0o700)
    link.symlink_to(real)
    plane = started.control_plane(KUMA_GENERAL_WORK_DIR=str(link))
    plane.stop()
    assert {"kuma-cp.db", "kuma-cp.key"} <= {path.name for path in real.iterdir()}
    assert link.is_symlink()


def test_files_and_sockets_of_the_agent_are_for_its_owner(started: Lab) -> None:
    plane = started.control_plane()
    work_dir = started.folder / "agent"
    with _umask(0):
        sidecar = started.sidecar(
            plane,
            dataplane("web-1", "web", app_port=free_port()),
            arguments=[f"--work-dir={work_dir}"],
        )
    sidecar.ready()
    assert any(stat.S_ISSOCK(path.lstat().st_mode) for path in work_dir.rglob("*"))
    assert not _mode(work_dir) & 0o066
    assert _open_to_others(work_dir) == {}
    token = sidecar.token_file.read_text()
    for path in work_dir.rglob("*"):
        if path.is_file():
            assert token not in path.read_text(errors="replace"), path


def test_no_secret_is_in_the_log_or_in_a_core_file(started: Lab) -> None:
    plane = started.control_plane(KUMA_LOG_LEVEL="debug")
    main = psutil.Process(plane.program.process.pid)
    for process in (main, *main.children()):
        assert process.rlimit(psutil.RLIMIT_CORE)[0] == 0
    token, secret = plane.token("web-1"), "bm90LXRvLWJlLXNob3du"
    key = plane.get("/meshes/default/secrets/dataplane-token-signing-key-default-1")["data"]
    bearer = {"authorization": f"Bearer {token}"}
    document = {"type": "Secret", "mesh": "default", "name": "a", "data": secret}
    assert http("PUT", f"{plane.api}/meshes/default/secrets/a", document)[0] == 201
    assert http("PUT", f"{plane.api}/meshes/default/secrets/a", {**document, "data": f"!{secret}"})[0] == 400
    assert http("PUT", f"{plane.api}/meshes/default/secrets/b", document)[0] == 400
    assert http("GET", f"{plane.api}/meshes", headers=bearer)[0] == 401
    assert http("PUT", f"{plane.api}/meshes/default/secrets/a", document, bearer)[0] == 401
    head = "POST /bootstrap HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    for body in (
        json.dumps({"name": "web-2", "dataplaneToken": token, "dataplaneResource": "{}"}),
        json.dumps({"name": "web-2", "mesh": "nowhere", "dataplaneToken": token}),
        json.dumps({"dataplaneToken": token})[:-1],
    ):
        _raw(plane, "dp", f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
    plane.stop()
    shown = plane.program.log
    assert not [each for each in (token, token.rpartition(".")[2], secret, key, key[:60]) if each in shown]


_ESCAPES = (
    "/../../../../etc/passwd",
    "/..%2f..%2f..%2f..%2fetc%2fpasswd",
    "/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
    "//etc/passwd",
    "/gui/../../../etc/passwd",
    "/gui/%2e%2e%2f%2e%2e%2fetc/passwd",
    "/meshes/default/dataplanes/..%2f..%2f..%2fetc%2fpasswd",
    "/meshes/../global-secrets/admin-user-token",
    "/meshes/default/..%2f..%2fglobal-secrets/admin-user-token",
    "/etc/passwd%00.json",
    "/\\..\\..\\etc\\passwd",
    "http://localhost/../../etc/passwd",
    "file:///etc/passwd",
    "/debug/../../../etc/passwd",
)


@pytest.mark.parametrize("server", ["http", "diagnostics", "dp", "https"])
def test_no_path_leads_to_a_file_or_around_the_rules(started: Lab, server: str) -> None:
    plane = started.control_plane()
    for target in _ESCAPES:
        # From elsewhere, so that secrets are out of reach whatever the path turns into.
        headers = ("Host: localhost", "X-Forwarded-For: 10.0.0.9", "Connection: close")
        head = "\r\n".join((f"GET {target} HTTP/1.1", *headers, "", ""))
        answer = _raw(plane, server, head.encode())
        status = int(answer.split(b" ", 2)[1])
        assert status in (400, 403, 404), f"{target}: {answer[:200]!r}"
        assert b"root:" not in answer
    assert "Traceback" not in plane.program.log


def test_no_name_leads_out_of_the_store(started: Lab) -> None:
    plane = started.control_plane()
    for name in ("..%2f..%2fescaped", "%2e%2e", "a%00b", "a%0ab", "%ff", "a%2fb"):
        document = {"type": "Secret", "mesh": "default", "data": "aGk="}
        status, body = http("PUT", f"{plane.api}/meshes/default/secrets/{name}", document)
        assert status in (400, 404), f"{name}: {body!r}"
    assert not list(started.folder.rglob("*escaped*"))


def _raw(plane: ControlPlane, server: str, request: bytes) -> bytes:
    port = {
        "http": plane.api_port,
        "diagnostics": plane.diagnostics_port,
        "dp": plane.dp_port,
        "https": int(plane.environ["KUMA_API_SERVER_HTTPS_PORT"]),
    }[server]
    with socket.create_connection(("127.0.0.1", port), timeout=20) as plain:
        if server in ("http", "diagnostics"):
            return _exchange(plain, request)
        context = ssl.create_default_context(cafile=str(plane.work_dir / "kuma-cp.crt"))
        with context.wrap_socket(plain, server_hostname="localhost") as secure:
            return _exchange(secure, request)


def _exchange(connection: socket.socket, request: bytes) -> bytes:
    connection.sendall(request)
    answer = b""
    while data := connection.recv(65_536):
        answer += data
    return answer
