"""Real programs on loopback for end-to-end tests: a control plane, sidecars, applications."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

ECHO_APP = Path(__file__).with_name("echo_app.py")
READY_S = 30.0


_FIRST_PORT, _BLOCK, _BLOCKS = 11_000, 100, 210
"""Below the range from which the kernel takes ports for clients."""
_LOCKS = Path(tempfile.gettempdir()) / f"kumadp-test-ports-{os.getuid()}"


def _claimed_ports() -> Iterator[int]:
    """Ports of blocks from which no other test process on this machine takes until this one ends; when all
    are used up, the same ones again."""
    _LOCKS.mkdir(exist_ok=True)
    start, mine = random.randrange(_BLOCKS), set[int]()
    for number in range(start, start + 10 * _BLOCKS):
        block = number % _BLOCKS
        if block in mine or _claim(block):
            mine.add(block)
            first = _FIRST_PORT + block * _BLOCK
            yield from range(first, first + _BLOCK)


def _claim(block: int) -> bool:
    try:
        file = os.open(_LOCKS / str(block), os.O_CREAT | os.O_RDWR)
    except PermissionError:  # Somebody else's.
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        return False
    return True


_ports = _claimed_ports()


def free_port() -> int:
    """A port that nobody listens on, and that no other test process gets."""
    for port in _ports:
        with socket.socket() as sock, contextlib.suppress(OSError):
            sock.bind(("0.0.0.0", port))
            return port
    raise AssertionError("no port is free")


def eventually(condition: Callable[[], Any], what: str, timeout_s: float = READY_S) -> Any:
    """The first true value of the condition; an assertion error that names `what` after the time limit."""
    deadline = time.monotonic() + timeout_s
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"{what} did not happen within {timeout_s} s"
        time.sleep(0.02)


def http(
    method: str, url: str, body: Any = None, headers: Mapping[str, str] | None = None
) -> tuple[int, bytes]:
    """(status, body); status 0 when the connection failed."""
    data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"content-type": "application/json", **(headers or {})})
    request.method = method
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()
    except OSError:
        return 0, b""


def tcp_line(port: int, line: bytes) -> bytes:
    """The answer to one line over a new connection, b"" when the connection failed or was closed."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as sock:
            sock.sendall(line)
            with sock.makefile("rb") as answer:
                return answer.readline()
    except OSError:
        return b""


class Program:
    """A started process whose output goes to a file."""

    def __init__(self, name: str, argv: Sequence[str], folder: Path, environ: Mapping[str, str]) -> None:
        self.name = name
        self.log_path = folder / f"{name}.log"
        clean = {key: value for key, value in os.environ.items() if not key.startswith("KUMA")}
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**clean, **environ},
                start_new_session=True,
            )

    @property
    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    def wait_until(self, condition: Callable[[], Any], what: str, timeout_s: float = READY_S) -> Any:
        def check() -> Any:
            assert self.running, f"{self.name} ended with {self.process.returncode}:\n{self.log[-4000:]}"
            return condition()

        try:
            return eventually(check, f"{self.name}: {what}", timeout_s)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log[-4000:]}") from None

    def end(self, number: int = signal.SIGTERM, timeout_s: float = 60.0) -> int:
        """Send a signal, wait, and give the exit code; killed if it does not end in time."""
        if self.running:
            self.process.send_signal(number)
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(
                f"{self.name} did not end after signal {number}:\n{self.log[-4000:]}"
            ) from None


class ControlPlane:
    """`kuma-cp run` with its own ports and work dir; `restart()` keeps both."""

    def __init__(self, folder: Path, environ: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self.work_dir = folder / "cp"
        self.api_port, self.dp_port, self.diagnostics_port = free_port(), free_port(), free_port()
        self.api = f"http://127.0.0.1:{self.api_port}"
        self.environ = {
            "HOME": str(folder),
            "KUMA_GENERAL_WORK_DIR": str(self.work_dir),
            "KUMA_API_SERVER_HTTP_PORT": str(self.api_port),
            "KUMA_API_SERVER_HTTPS_PORT": str(free_port()),
            "KUMA_DP_SERVER_PORT": str(self.dp_port),
            "KUMA_DIAGNOSTICS_SERVER_PORT": str(self.diagnostics_port),
            **(environ or {}),
        }
        self.program: Program

    def start(self) -> ControlPlane:
        self.launch()
        return self.ready()

    def launch(self) -> None:
        """Start it and do not wait."""
        argv = [sys.executable, "-m", "kumacp", "run"]
        self.program = Program("kuma-cp", argv, self.folder, self.environ)

    def ready(self) -> ControlPlane:
        ready = f"http://127.0.0.1:{self.diagnostics_port}/ready"
        self.program.wait_until(lambda: http("GET", ready)[0] == 200, "ready")
        return self

    def kill(self) -> None:
        self.program.end(signal.SIGKILL)

    def stop(self) -> int:
        return self.program.end()

    def get(self, path: str) -> Any:
        status, body = http("GET", self.api + path)
        return json.loads(body) if status == 200 else None

    def put(self, document: Mapping[str, Any]) -> None:
        status, body = http("PUT", self.api + path_of(document), document)
        assert status in (200, 201), f"{status} {body.decode()}"

    def delete(self, path: str) -> None:
        status, body = http("DELETE", self.api + path)
        assert status == 200, f"{status} {body.decode()}"

    def token(self, name: str = "", mesh: str = "default", **claims: Any) -> str:
        body = {"name": name, "mesh": mesh, "validFor": "1h", **claims}
        status, token = http("POST", f"{self.api}/tokens/dataplane", body)
        assert status == 200, token
        return token.decode()

    def kumactl(self, *arguments: str, stdin: str = "") -> str:
        """What kumactl prints, as a user on this host; an assertion error with its errors if it fails."""
        config = self.folder / "kumactl-config"
        base = [sys.executable, "-m", "kumactl", f"--config-file={config}"]
        if not config.exists():
            add = ["config", "control-planes", "add", "--name", "test", "--address", self.api]
            subprocess.run([*base, *add], check=True, capture_output=True)
        argv = [*base, *arguments]
        done = subprocess.run(argv, check=False, input=stdin, capture_output=True, text=True)
        assert done.returncode == 0, f"kumactl {' '.join(arguments)}: {done.stderr}"
        return done.stdout

    def metric(self, name: str) -> float:
        """The sum over all labels of a Prometheus metric."""
        _, body = http("GET", f"http://127.0.0.1:{self.diagnostics_port}/metrics")
        lines = (line.rpartition(" ") for line in body.decode().splitlines() if not line.startswith("#"))
        return sum(float(value) for key, _, value in lines if key.partition("{")[0] == name)


def path_of(document: Mapping[str, Any]) -> str:
    """REST path of the types that the tests write."""
    folder = {
        "Dataplane": "dataplanes",
        "ExternalService": "external-services",
        "VirtualOutbound": "virtual-outbounds",
        "TrafficPermission": "traffic-permissions",
        "MeshTrafficPermission": "meshtrafficpermissions",
        "Secret": "secrets",
    }
    outside_meshes = {
        "Mesh": "meshes",
        "GlobalSecret": "global-secrets",
        "Zone": "zones",
        "ZoneIngress": "zoneingresses",
        "ZoneEgress": "zoneegresses",
    }
    if document["type"] in outside_meshes:
        return f"/{outside_meshes[document['type']]}/{document['name']}"
    return f"/meshes/{document['mesh']}/{folder[document['type']]}/{document['name']}"


class Sidecar:
    """`kuma-dp run` for a Dataplane document, or with a token and `--proxy-type` for that of a zone proxy."""

    def __init__(
        self,
        plane: ControlPlane,
        document: Mapping[str, Any],
        *,
        token: str | None = None,
        arguments: Sequence[str] = (),
        environ: Mapping[str, str] | None = None,
        cp_address: str = "",
        prefix: Sequence[str] = (),
    ) -> None:
        self.plane = plane
        self.name = document["name"]
        self.mesh = document.get("mesh", "")
        self._file = f"{self.mesh or document['type']}-{self.name}"
        self.admin_port: int = document["networking"]["admin"]["port"]
        self.readiness_port = free_port()
        folder = plane.folder
        self.token_file = folder / f"{self._file}.token"
        self.token_file.write_text(token if token is not None else plane.token(self.name, self.mesh))
        resource = folder / f"{self._file}.yaml"
        resource.write_text(json.dumps(document))
        self._argv = [
            *prefix, sys.executable, "-m", "kumadp", "run",
            f"--cp-address={cp_address or f'https://localhost:{plane.dp_port}'}",
            f"--ca-cert-file={plane.work_dir / 'kuma-cp.crt'}",
            f"--dataplane-file={resource}", f"--dataplane-token-file={self.token_file}",
            "--drain-time=2s", *arguments,
        ]  # fmt: skip
        self._environ = {
            "HOME": str(folder),
            "KUMA_READINESS_PORT": str(self.readiness_port),
            **(environ or {}),
        }
        self.program: Program
        self.start()

    def start(self) -> None:
        self.program = Program(self._file, self._argv, self.plane.folder, self._environ)

    def ready(self) -> Sidecar:
        url = f"http://127.0.0.1:{self.readiness_port}/ready"
        self.program.wait_until(lambda: http("GET", url)[0] == 200, "READY")
        return self

    def admin(self, path: str) -> bytes:
        status, body = http("GET", f"http://127.0.0.1:{self.admin_port}{path}")
        assert status == 200, f"{path}: {status}"
        return body

    def stat(self, name: str) -> int:
        """One Envoy counter or gauge; 0 when Envoy does not know it."""
        lines = (line.split(": ") for line in self.admin(f"/stats?filter=^{name}$").decode().splitlines())
        return sum(int(value) for _, value in lines)


class Lab:
    """Everything a test started; ended in reverse order."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._programs: list[Callable[[], Program]] = []

    def control_plane(self, **environ: str) -> ControlPlane:
        plane = ControlPlane(self.folder, environ)
        plane.start()
        self.keep(lambda: plane.program)
        return plane

    def sidecar(self, plane: ControlPlane, document: Mapping[str, Any], **options: Any) -> Sidecar:
        sidecar = Sidecar(plane, document, **options)
        self.keep(lambda: sidecar.program)
        return sidecar

    def app(self, kind: str, name: str, port: int, host: str = "127.0.0.1") -> Program:
        program = self.launch_app(kind, name, port, host)
        program.wait_until(lambda: listens(host, port), "listening")
        return program

    def launch_app(
        self,
        kind: str,
        name: str,
        port: int,
        host: str = "127.0.0.1",
        *,
        facts: Mapping[str, Any] | None = None,
    ) -> Program:
        """Without waiting for it; with facts that it adds to its answers."""
        argv = [sys.executable, str(ECHO_APP), kind, name, str(port), host]
        environ = {"ECHO_FACTS": json.dumps(facts or {})}
        program = Program(f"app-{name.replace('/', '-')}-{port}", argv, self.folder, environ)
        self.adopt(program)
        return program

    def keep(self, current: Callable[[], Program]) -> None:
        """End whatever program this gives at the end: that of something which may be started again."""
        self._programs.append(current)

    @property
    def programs(self) -> list[Program]:
        return [current() for current in self._programs]

    def adopt(self, program: Program) -> None:
        """End a program that somebody else started together with the rest."""
        self._programs.append(lambda: program)

    def close(self) -> None:
        programs = [get() for get in reversed(self._programs)]
        for program in programs:
            if program.running:
                program.process.send_signal(signal.SIGTERM)
        for program in programs:
            program.end()


@contextlib.contextmanager
def lab(folder: Path) -> Iterator[Lab]:
    started = Lab(folder)
    try:
        yield started
    finally:
        started.close()


def listens(host: str, port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex((host, port)) == 0


def dataplane(
    name: str,
    service: str,
    *,
    app_port: int,
    mesh: str = "default",
    protocol: str = "http",
    inbound_port: int = 0,
    outbounds: Mapping[str, int] | None = None,
    tags: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """A Dataplane on 127.0.0.1 with one inbound and outbounds given as service -> port."""
    inbound = {
        "port": inbound_port or free_port(),
        "servicePort": app_port,
        "tags": {"kuma.io/service": service, "kuma.io/protocol": protocol, **(tags or {})},
    }
    return {
        "type": "Dataplane",
        "mesh": mesh,
        "name": name,
        "networking": {
            "address": "127.0.0.1",
            "admin": {"port": free_port()},
            "inbound": [inbound],
            "outbound": [
                {"port": port, "tags": {"kuma.io/service": target}}
                for target, port in (outbounds or {}).items()
            ],
        },
    }


def mesh(name: str = "default", *, mode: str | None = "STRICT", expiration: str = "") -> dict[str, Any]:
    """A Mesh; `mode` None is without mTLS."""
    if mode is None:
        return {"type": "Mesh", "name": name}
    backend: dict[str, Any] = {"name": "ca-1", "type": "builtin", "mode": mode}
    if expiration:
        backend["dpCert"] = {"rotation": {"expiration": expiration}}
    return {"type": "Mesh", "name": name, "mtls": {"enabledBackend": "ca-1", "backends": [backend]}}
