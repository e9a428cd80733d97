"""The REST API on its ports: aiohttp around `Application` (contract 9.1; kuma-cp 1.3)."""

from __future__ import annotations

import asyncio
import logging
import re
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar
from urllib.parse import unquote

from aiohttp import web

from kumacp.api import problem
from kumacp.api.application import Application, InstanceFacts, KeyRings
from kumacp.api.aspects_endpoints import NoProxies, Proxies
from kumacp.api.exchange import MAX_BODY_BYTES, Answer, Request, problem_answer
from kumacp.api.problem import Problem
from kumacp.api.resources import Manager
from kumacp.figures import HttpTraffic
from kumacp.http_server import BodyRefused, HttpServer, read_body
from kumacp.listen_server import listen
from kumacp.settings import CpSettings
from kumacp.store.api import Store
from kumacp.tls_context_disk import CertificateContext, ClientCertificates
from kumacp.tls_site_server import TlsSite
from kumamesh.errors import EXIT_USAGE, UserError

BODY_TIMEOUT_S = 30.0
IDLE_TIMEOUT_S = 120.0
SHUTDOWN_TIMEOUT_S = 2.0
_BASE_SEGMENT = re.compile(r"[A-Za-z0-9_~-][A-Za-z0-9._~-]*")

T = TypeVar("T")

_log = logging.getLogger(__name__)


class ApiServer:
    """Serves HTTP and HTTPS, both with the same routes. `start` raises UserError when it cannot listen."""

    def __init__(
        self,
        settings: CpSettings,
        store: Store,
        manager: Manager,
        key_rings: KeyRings,
        facts: InstanceFacts,
        *,
        certificate: tuple[Path, Path] | None,
        proxies: Proxies | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._certificate = certificate
        self._base = base_segments(settings.api_base_path)
        self._heavy = asyncio.Lock()
        self._application = Application(
            settings,
            store,
            manager,
            key_rings,
            facts,
            now=now,
            aside=self._aside,
            proxies=proxies or NoProxies(),
        )
        self._runner: web.ServerRunner | None = None
        self.traffic = HttpTraffic()
        self.http_port = 0
        self.https_port = 0

    @property
    def tokens_issued(self) -> Mapping[str, int]:
        """By kind."""
        return self._application.tokens_issued

    async def start(self) -> None:
        listeners = self._listeners()
        server = HttpServer(self._serve, keepalive_s=IDLE_TIMEOUT_S, traffic=self.traffic)
        self._runner = web.ServerRunner(server, shutdown_timeout=SHUTDOWN_TIMEOUT_S)
        await self._runner.setup()
        for listener, context in listeners:
            plain = web.SockSite(self._runner, listener)
            await (TlsSite(self._runner, listener, context) if context else plain).start()
        _log.info(
            "the REST API is served", extra={"http_port": self.http_port, "https_port": self.https_port}
        )

    async def stop(self) -> None:
        """Stop listening; requests under way get a moment to end."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def _listeners(self) -> list[tuple[socket.socket, ssl.SSLContext | None]]:
        """All sockets, or none when one of them cannot be had."""
        listeners: list[tuple[socket.socket, ssl.SSLContext | None]] = []
        try:
            if self._settings.api_http_enabled:
                listeners.append((self._bind("HTTP"), None))
                self.http_port = listeners[-1][0].getsockname()[1]
            if self._settings.api_https_enabled and self._certificate is not None:
                context = CertificateContext(*self._certificate, _clients(self._settings)).lasting()
                listeners.append((self._bind("HTTPS"), context))
                self.https_port = listeners[-1][0].getsockname()[1]
        except UserError:
            for listener, _ in listeners:
                listener.close()
            raise
        return listeners

    def _bind(self, scheme: str) -> socket.socket:
        secure = scheme == "HTTPS"
        settings = self._settings
        return listen(
            settings.api_https_interface if secure else settings.api_http_interface,
            settings.api_https_port if secure else settings.api_http_port,
            port_variable=f"KUMA_API_SERVER_{scheme}_PORT",
            interface_variable=f"KUMA_API_SERVER_{scheme}_INTERFACE",
        )

    async def _aside(self, function: Callable[[], T]) -> T:
        """One at a time: the threads are there for the certificates of proxies, too."""
        async with self._heavy:
            return await asyncio.to_thread(function)

    async def _serve(self, raw: web.BaseRequest) -> web.StreamResponse:
        try:
            answer = await self._application.handle(await _read(raw, self._base))
        except Problem as error:
            answer = problem_answer(error)
        except ConnectionError:
            raise
        except Exception:  # noqa: BLE001 - the driver: one bad request must not take the server down
            _log.exception("a request failed", extra={"method": raw.method, "path": raw.rel_url.raw_path})
            answer = problem_answer(Problem(500, problem.INTERNAL, "the control plane's log has the reason"))
        return _response(answer)


def base_segments(path: str) -> tuple[str, ...]:
    """The base path as segments; raises UserError."""
    segments = tuple(path.strip("/").split("/")) if path.strip("/") else ()
    if not all(_BASE_SEGMENT.fullmatch(segment) for segment in segments):
        raise UserError(
            f"KUMA_API_SERVER_BASE_PATH: {path!r} is no path; write it as /kuma or /mesh/api",
            exit_code=EXIT_USAGE,
        )
    return segments


def _clients(settings: CpSettings) -> ClientCertificates | None:
    """Raises UserError when certificates are required and none is trusted."""
    required = settings.api_https_require_client_cert
    if settings.api_client_certs_dir is not None:
        return ClientCertificates(settings.api_client_certs_dir, required)
    if required:
        raise UserError(
            "KUMA_API_SERVER_HTTPS_REQUIRE_CLIENT_CERT needs KUMA_API_SERVER_AUTH_CLIENT_CERTS_DIR:"
            " the folder with the certificates to trust",
            exit_code=EXIT_USAGE,
        )
    return None


async def _read(raw: web.BaseRequest, base: tuple[str, ...]) -> Request:
    """The request with its body; raises Problem."""
    try:
        body = await read_body(raw, limit=MAX_BODY_BYTES, timeout_s=BODY_TIMEOUT_S)
    except BodyRefused as error:
        raise problem.body_refused(error.status, str(error)) from None
    path = raw.rel_url.raw_path.removeprefix("/").removesuffix("/")
    segments = tuple(unquote(part) for part in path.split("/")) if path else ()
    if segments[: len(base)] != base:
        raise problem.not_found("Not Found", f"this API is below /{'/'.join(base)}")
    transport = raw.transport
    return Request(
        method=raw.method,
        segments=segments[len(base) :],
        query=tuple(raw.rel_url.query.items()),
        headers=_headers(raw),
        body=body,
        peer=raw.remote or "",
        origin=f"{raw.scheme}://{raw.host}",
        certified=bool(transport is not None and transport.get_extra_info("peercert")),
        base="".join(f"/{segment}" for segment in base),
    )


def _headers(raw: web.BaseRequest) -> dict[str, str]:
    """By lower-case name. Of a header that came several times every value counts: if the last one decided
    who somebody is, a proxy that looks at the first could be fooled."""
    found: dict[str, str] = {}
    for name, value in raw.headers.items():
        key = name.lower()
        found[key] = f"{found[key]}, {value}" if key in found else value
    return found


def _response(answer: Answer) -> web.Response:
    return web.Response(
        status=answer.status,
        body=answer.body,
        content_type=answer.content_type,
        charset="utf-8" if answer.content_type.startswith("text/") else None,
        headers=dict(answer.headers),
    )
