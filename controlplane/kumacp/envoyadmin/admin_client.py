"""Asks Envoy's admin endpoint, patiently for a few seconds, and believes only the proxy that is meant."""

from __future__ import annotations

import asyncio
import json
import os
import ssl
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import aiohttp
from yarl import URL

from kumacp.envoyadmin.question import WHO_ARE_YOU, ProxyUnavailable, Question, QuestionRefused, Reply
from kumacp.envoyadmin.redaction import redacted_dump
from kumacp.envoyadmin.target import Target
from kumacp.identity.admin_ca import ADMIN_CA_SECRET, from_secret_data, issue_admin_client
from kumacp.identity.x509 import CertificateAuthority, Identity

TOTAL_S, CONNECT_S = 5.0, 3.0
"""Kuma's (contract 3.7)."""
MAX_ANSWER_BYTES = 64 * 2**20
MAX_AT_ONCE = 4
MAX_WAITING = 64
_SHOWN_CHARS = 200
_MIB = 2**20
_HEADERS = {"Accept-Encoding": "identity", "User-Agent": "kuma-cp"}


class AdminClient:
    """`admin_ca` gives the data of the secret with the CA of all admin endpoints, as it is now."""

    def __init__(
        self,
        admin_ca: Callable[[], Awaitable[bytes]],
        *,
        total_s: float = TOTAL_S,
        connect_s: float = CONNECT_S,
        max_bytes: int = MAX_ANSWER_BYTES,
    ) -> None:
        self._admin_ca = admin_ca
        self._timeout = aiohttp.ClientTimeout(total=total_s, sock_connect=connect_s)
        self._max_bytes = max_bytes
        self._working = asyncio.Semaphore(MAX_AT_ONCE)
        self._waiting = 0
        self._context: tuple[bytes, ssl.SSLContext] | None = None

    async def ask(self, target: Target, question: Question) -> Reply:
        """Raises ProxyUnavailable; QuestionRefused when Envoy does not understand."""
        if self._waiting >= MAX_WAITING:
            raise ProxyUnavailable("the control plane asks too many proxies at once: try again in a moment")
        self._waiting += 1
        try:
            async with self._working:
                return await self._ask(target, question)
        finally:
            self._waiting -= 1

    async def _ask(self, target: Target, question: Question) -> Reply:
        context = await self._tls() if target.secure else None
        try:
            async with asyncio.timeout(self._timeout.total), _session(context, self._timeout) as session:
                await self._check_identity(session, target)
                body = await self._get(session, target, question)
        except TimeoutError:
            text = f"{target} did not answer within {self._timeout.total:g} s: is its host overloaded, or the"
            raise ProxyUnavailable(f"{text} port blocked between it and the control plane?") from None
        except (aiohttp.ClientError, OSError) as error:
            raise ProxyUnavailable(_why_unreachable(target, error)) from None
        if not question.secret:
            return Reply(body, question.content_type)
        try:
            return Reply(await asyncio.to_thread(redacted_dump, body), question.content_type)
        except ValueError:
            raise ProxyUnavailable(f"{target} sent a config dump that is not JSON; is it an Envoy?") from None

    async def _check_identity(self, session: aiohttp.ClientSession, target: Target) -> None:
        """Behind a port another proxy may listen by now, and a Dataplane may name the address of another."""
        body = await self._get(session, target, WHO_ARE_YOU)
        if await asyncio.to_thread(_node_id, body) != target.node_id:
            raise ProxyUnavailable(
                f"at {target} answers something that is not the Envoy of this proxy: give every proxy an"
                " address of its own, or those of one host different admin ports"
            )

    async def _get(self, session: aiohttp.ClientSession, target: Target, question: Question) -> bytes:
        url = URL.build(
            scheme="https" if target.secure else "http",
            host=target.host,
            port=target.port,
            path=question.path,
            query=list(question.query),
        )
        async with session.get(url, allow_redirects=False) as answer:
            if answer.headers.get("Content-Encoding", "identity") != "identity":
                raise ProxyUnavailable(f"{target} sent a compressed answer, which nobody asked for")
            if answer.status == 400:
                raise QuestionRefused(_shown(await self._read(answer, target)))
            if answer.status != 200:
                raise ProxyUnavailable(f"{target} answered with status {answer.status}; is it an Envoy?")
            return await self._read(answer, target)

    async def _read(self, answer: aiohttp.ClientResponse, target: Target) -> bytes:
        body = bytearray()
        async for chunk in answer.content.iter_any():
            body += chunk
            if len(body) > self._max_bytes:
                raise ProxyUnavailable(
                    f"{target} sent more than {self._max_bytes / _MIB:g} MiB: ask for less"
                )
        return bytes(body)

    async def _tls(self) -> ssl.SSLContext:
        """Made anew when the CA is another one."""
        data = await self._admin_ca()
        if self._context is None or self._context[0] != data:
            try:
                authority = from_secret_data(data)
            except ValueError as error:
                raise ProxyUnavailable(f"{error}: delete it and start the control plane again") from None
            self._context = data, await asyncio.to_thread(_client_context, authority)
        return self._context[1]


def _session(context: ssl.SSLContext | None, timeout: aiohttp.ClientTimeout) -> aiohttp.ClientSession:
    """For one question: a proxy that starts anew has another certificate, and no environment has a say."""
    connector = aiohttp.TCPConnector(ssl=context if context is not None else True, limit=1)
    return aiohttp.ClientSession(
        connector=connector,
        timeout=timeout,
        headers=_HEADERS,
        auto_decompress=False,
        trust_env=False,
        cookie_jar=aiohttp.DummyCookieJar(),
    )


def _client_context(authority: CertificateAuthority) -> ssl.SSLContext:
    """Trusts the CA of admin endpoints and nobody else; the server must have the address that is dialled."""
    identity = issue_admin_client(authority, now=datetime.now(UTC))
    context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cadata=authority.certificate.decode())
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.hostname_checks_common_name = False
    _load_identity(context, identity)
    return context


def _load_identity(context: ssl.SSLContext, identity: Identity) -> None:
    """Python reads keys from files only; this one is never on a disk."""
    with os.fdopen(os.memfd_create("envoy-admin-client"), "wb") as file:
        file.write(identity.certificate + identity.private_key)
        file.flush()
        context.load_cert_chain(f"/proc/self/fd/{file.fileno()}")


def _node_id(body: bytes) -> str:
    """The id of Envoy's node, "" when there is none."""
    try:
        info = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    node = info.get("node") if isinstance(info, dict) else None
    found: Any = node.get("id") if isinstance(node, dict) else None
    return found if isinstance(found, str) else ""


def _why_unreachable(target: Target, error: Exception) -> str:
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return (
            f"{target} shows a certificate that is not of the CA in {ADMIN_CA_SECRET}, or not for that"
            " address: another program may listen there; if not, start kuma-dp again to get a new one"
        )
    if isinstance(error, aiohttp.ClientSSLError | ssl.SSLError):
        return f"no TLS connection to {target} is possible: is something else than its Envoy listening there?"
    reason = error.strerror if isinstance(error, OSError) else ""
    reason = reason or "the connection was closed without an answer"
    return (
        f"{target} cannot be reached ({reason}): is kuma-dp running, and the port open for the control plane?"
    )


def _shown(body: bytes) -> str:
    text = body[:_SHOWN_CHARS].decode("utf-8", "replace").strip()
    return text if text.isprintable() else ascii(text)
