"""A control plane for tests of the agent: HTTPS `/bootstrap` and a gRPC server for ADS and HDS, scripted."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import datetime
import ipaddress
import json
import ssl
import threading
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.listener.v3 import listener_pb2
from envoy.extensions.filters.network.tcp_proxy.v3 import tcp_proxy_pb2  # noqa: F401 - for the Any below
from envoy.service.discovery.v3 import discovery_pb2
from google.protobuf import json_format

from kumadp_bootstrap.params import BootstrapParams
from kumadp_bootstrap.render import render
from kumamesh.xds import CLUSTER, LISTENER

DELTA = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"
UNLIMITED = (("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1))


def write_certificate(folder: Path) -> tuple[Path, Path]:
    """(certificate, key) for localhost, self-signed and a CA, as `kuma-cp` makes its own."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "fake-cp")])
    now = datetime.datetime.now(datetime.UTC)
    sans = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName(sans), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    folder.mkdir(parents=True, exist_ok=True)
    cert_path, key_path = folder / "cp.crt", folder / "cp.key"
    cert_path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return cert_path, key_path


def token(name: str = "web-1") -> str:
    """A token in shape alone."""
    head, body = (
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()
        for part in ({"alg": "RS256", "kid": "1"}, {"Name": name})
    )
    return f"{head}.{body}.c2ln"


@dataclass
class Stream:
    """One call as the control plane saw it; `end` is "half-closed", "cancelled", "cut" or "answered"."""

    method: str
    token: str
    context: Any
    requests: list[bytes] = field(default_factory=list)
    end: str = ""
    cut: asyncio.Event = field(default_factory=asyncio.Event)

    async def read(self) -> bytes | None:
        """The next request, None at the client's clean end."""
        raw = await self.context.read()
        if raw is grpc.aio.EOF:
            # A cancellation shows as this too, and cancels this task in a moment.
            await asyncio.sleep(0.05)
            self.end = "half-closed"
            return None
        self.requests.append(raw)
        return bytes(raw)

    async def write(self, raw: bytes) -> None:
        await self.context.write(raw)


Script = Callable[[Stream], Awaitable[None]]


async def serve_empty(stream: Stream) -> None:
    """Answer every first delta subscription of a type with nothing; then listen."""
    await serve({}, stream)


async def serve(resources: dict[str, list[discovery_pb2.Resource]], stream: Stream) -> None:
    """Answer every first delta subscription of a type with the resources of it."""
    seen = set()
    while (raw := await stream.read()) is not None:
        request = discovery_pb2.DeltaDiscoveryRequest.FromString(raw)
        if request.type_url in seen:
            continue
        seen.add(request.type_url)
        answer = discovery_pb2.DeltaDiscoveryResponse(
            type_url=request.type_url,
            nonce=f"n-{request.type_url}",
            resources=resources.get(request.type_url),
        )
        await stream.write(answer.SerializeToString())


def tcp_listener(port: int, upstream_port: int) -> dict[str, list[discovery_pb2.Resource]]:
    """Resources of a proxy that passes connections of one port on to another."""
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    upstream = {"socket_address": {"address": "127.0.0.1", "port_value": upstream_port}}
    proxy = {
        "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
        "stat_prefix": "in",
        "cluster": "app",
    }
    listener = {
        "name": "inbound",
        "address": address,
        "traffic_direction": "INBOUND",
        "filter_chains": [{"filters": [{"name": "tcp", "typed_config": proxy}]}],
    }
    cluster = {
        "name": "app",
        "connect_timeout": "1s",
        "load_assignment": {
            "cluster_name": "app",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": upstream}}]}],
        },
    }
    return {
        LISTENER: [_resource("inbound", json_format.ParseDict(listener, listener_pb2.Listener()))],
        CLUSTER: [_resource("app", json_format.ParseDict(cluster, cluster_pb2.Cluster()))],
    }


def _resource(name: str, message: Any) -> discovery_pb2.Resource:
    resource = discovery_pb2.Resource(name=name, version="1")
    resource.resource.Pack(message)
    return resource


class FakeControlPlane:
    """Use `running()`. `answers` are given before bootstraps are; `script` handles every stream."""

    def __init__(self, folder: Path, script: Script = serve_empty) -> None:
        self.ca_path, self._key_path = write_certificate(folder)
        self.script = script
        self.answers: deque[tuple[int, bytes]] = deque()
        self.bootstrap_requests: list[dict[str, Any]] = []
        self.streams: list[Stream] = []
        self.admin_port = 0
        self.hds = False
        self.delta = True
        """Let proxies that can do so ask by delta xDS."""
        self.changed = asyncio.Condition()
        self._loop: asyncio.AbstractEventLoop | None = None
        self.url = ""
        self.xds_port = 0

    @property
    def ca_pem(self) -> str:
        return self.ca_path.read_text()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[FakeControlPlane]:
        server = grpc.aio.server(options=UNLIMITED)
        server.add_generic_rpc_handlers((_Handlers(self),))
        credentials = grpc.ssl_server_credentials([(self._key_path.read_bytes(), self.ca_path.read_bytes())])
        self.xds_port = server.add_secure_port("127.0.0.1:0", credentials)
        await server.start()
        with self._bootstrap_server() as port:
            self.url = f"https://localhost:{port}"
            try:
                yield self
            finally:
                await server.stop(None)

    @contextlib.contextmanager
    def in_background(self) -> Iterator[FakeControlPlane]:
        """Running in a thread, for tests that wait for programs."""
        up, down = threading.Event(), asyncio.Event()
        loop = self._loop = asyncio.new_event_loop()

        async def run() -> None:
            async with self.running():
                up.set()
                await down.wait()

        thread = threading.Thread(target=loop.run_until_complete, args=(run(),))
        thread.start()
        assert up.wait(20), "the fake control plane did not start"
        try:
            yield self
        finally:
            loop.call_soon_threadsafe(down.set)
            thread.join()
            loop.close()

    async def until(self, condition: Callable[[], Any], timeout_s: float = 20.0) -> Any:
        """The condition's first true value, checked at every event of a stream."""
        async with asyncio.timeout(timeout_s), self.changed:
            await self.changed.wait_for(condition)
        return condition()

    def cut(self) -> None:
        """End all streams as a control plane that goes away does; for `in_background`."""

        assert self._loop
        for stream in list(self.streams):
            self._loop.call_soon_threadsafe(stream.cut.set)

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        """In the thread of `in_background`; the result."""
        assert self._loop
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(20)

    async def notify(self) -> None:
        async with self.changed:
            self.changed.notify_all()

    async def handle(self, stream: Stream) -> None:
        self.streams.append(stream)
        await self.notify()
        try:
            await self._play(stream)
            stream.end = stream.end or "answered"
        except asyncio.CancelledError:
            stream.end = stream.end or "cancelled"
            raise
        finally:
            await asyncio.shield(self.notify())

    async def _play(self, stream: Stream) -> None:
        async def script() -> None:
            await self.script(stream)

        played, cut = asyncio.create_task(script()), asyncio.create_task(stream.cut.wait())
        try:
            await asyncio.wait({played, cut}, return_when=asyncio.FIRST_COMPLETED)
            if cut.done():
                stream.end = "cut"
                await stream.context.abort(grpc.StatusCode.UNAVAILABLE, "going away")
            await played
        finally:
            played.cancel()
            cut.cancel()

    @contextlib.contextmanager
    def _bootstrap_server(self) -> Iterator[int]:
        plane = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                plane.bootstrap_requests.append(json.loads(body))
                status, answer = (
                    plane.answers.popleft() if plane.answers else (200, plane.answer(json.loads(body)))
                )
                self.send_response(status)
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: Any) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.ca_path, self._key_path)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()
            server.server_close()

    def answer(self, request: dict[str, Any]) -> bytes:
        """The body of a 200, as a control plane without settings of its own gives it."""
        resource = json.loads(request.get("dataplaneResource") or "{}")
        admin = resource.get("networking", {}).get("admin", {})
        params = BootstrapParams(
            proxy_type=request["proxyType"],
            name=request["name"],
            mesh=request["mesh"],
            xds_host="localhost",
            xds_port=self.xds_port,
            ca_pem=self.ca_pem,
            resource=request.get("dataplaneResource", ""),
            token=request.get("dataplaneToken", ""),
            hds=self.hds,
            delta=self.delta and "feature-delta-grpc" in request["features"],
            admin_port=admin.get("port") or self.admin_port or 9901,
            dns_port=request.get("dnsPort", 0),
            readiness_port=request["readinessPort"],
            workdir=request["workdir"],
            features=tuple(request["features"]),
            version=request["version"],
            transparent_proxy=request.get("dataplaneConfig"),
        )
        encoded = base64.b64encode(render(params).encode()).decode()
        return json.dumps({"bootstrap": encoded, "kumaSidecarConfiguration": {}}).encode()


class _Handlers(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc has no types
    def __init__(self, plane: FakeControlPlane) -> None:
        self._plane = plane

    def service(self, handler_call_details: Any) -> Any:
        metadata = dict(handler_call_details.invocation_metadata)
        method = handler_call_details.method

        async def handle(_: Any, context: Any) -> None:
            await self._plane.handle(Stream(method, str(metadata.get("authorization", "")), context))

        return grpc.stream_stream_rpc_method_handler(handle)
