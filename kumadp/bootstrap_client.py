"""POST /bootstrap until the control plane answers, in a thread of its own so that signals are served."""

from __future__ import annotations

import asyncio
import functools
import http.client
import json
import logging
import random
import ssl
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from kumadp.bootstrap_exchange import (
    Again,
    Bootstrap,
    Final,
    Outcome,
    clock_skew,
    judge,
    not_tls,
    unreachable,
    untrusted,
)
from kumadp.retry import RetryPolicy
from kumadp.thread_worker import in_thread
from kumamesh.errors import UserError

log = logging.getLogger(__name__)

_TIMEOUT_S = 10.0
_MAX_ANSWER_BYTES = 10 * 1024 * 1024
_HEADERS = {"accept": "application/json", "content-type": "application/json"}


class BootstrapClient:
    """Where to ask, and whom to trust."""

    def __init__(self, url: str, *, ca_pem: str, ca_source: str, verify: bool) -> None:
        self.url = url
        self._ca_source = ca_source
        self._skew_told = False
        self._context = _context(ca_pem, ca_source, verify) if url.startswith("https:") else None

    async def fetch(self, request: Callable[[], Mapping[str, Any]], policy: RetryPolicy) -> str:
        """The bootstrap's YAML; `request` makes the body anew for every attempt, since the token may have
        changed. Raises UserError when the answer is final or the time is up."""
        started = time.monotonic()
        attempt = 0
        while True:
            attempt += 1
            body = json.dumps(request(), indent=1).encode()
            outcome = await in_thread(functools.partial(self._ask, body))
            if isinstance(outcome, Bootstrap):
                return outcome.yaml
            if isinstance(outcome, Final):
                raise UserError(f"no bootstrap from {self.url}: {outcome.reason}")
            pause = policy.pause(attempt, time.monotonic() - started, random.random())  # noqa: S311
            if pause is None:
                raise UserError(f"no bootstrap from {self.url} after {attempt} attempts: {outcome.reason}")
            log.warning(
                "no bootstrap from %s yet: %s; next attempt in %.1f s", self.url, outcome.reason, pause
            )
            await asyncio.sleep(pause)

    def _ask(self, body: bytes) -> Outcome:
        parts = urlsplit(self.url)
        connection: http.client.HTTPConnection
        if self._context:
            connection = http.client.HTTPSConnection(
                parts.hostname or "", parts.port, timeout=_TIMEOUT_S, context=self._context
            )
        else:
            connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=_TIMEOUT_S)
        try:
            connection.request("POST", parts._replace(scheme="", netloc="").geturl(), body, _HEADERS)
            answer = connection.getresponse()
            self._check_clock(answer.headers.get("Date"))
            return judge(answer.status, answer.read(_MAX_ANSWER_BYTES))
        except ssl.SSLCertVerificationError as error:
            return untrusted(error.verify_message, self._ca_source, datetime.now(UTC))
        except ssl.SSLError as error:
            if error.reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE"):
                return not_tls()
            return Again(f"TLS failed: {error.reason or error}")
        except (OSError, http.client.HTTPException) as error:
            return unreachable(_reason(error), tls=self._context is not None)
        finally:
            connection.close()

    def _check_clock(self, date: str | None) -> None:
        """Tell once that the clocks differ."""
        skew = None if self._skew_told else clock_skew(date, datetime.now(UTC))
        if skew:
            self._skew_told = True
            log.warning("%s", skew)


def _context(ca_pem: str, ca_source: str, verify: bool) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif ca_pem:
        try:
            context.load_verify_locations(cadata=ca_pem)
        except (ssl.SSLError, ValueError, TypeError):
            raise UserError(f"{ca_source} does not hold a certificate in PEM form") from None
    else:
        context.load_default_certs()
    return context


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {_TIMEOUT_S:.0f} s"
    if isinstance(error, http.client.BadStatusLine | http.client.UnknownProtocol):
        return "the answer is not HTTP"
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return text.strip() or type(error).__name__
