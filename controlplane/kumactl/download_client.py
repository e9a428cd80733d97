"""Files of resources from other servers (kuma-cp 8.3)."""

from __future__ import annotations

from urllib.parse import urlsplit

import urllib3

from kumactl.transport_client import TooLarge, failure_reason, fetch
from kumamesh.errors import UserError
from kumamesh.resources.yamldoc import MAX_BYTES

SCHEMES = ("http://", "https://")
_PLAIN = {"Accept-Encoding": "identity"}
_REDIRECTS = urllib3.Retry(total=None, connect=0, read=0, other=0, redirect=5)


def is_url(text: str) -> bool:
    return text.lower().startswith(SCHEMES)


def shown(url: str) -> str:
    """Without what may be secret: user, password and query."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()


def download(url: str, timeout_s: float) -> bytes:
    """What the URL stands for; raises UserError. A `timeout_s` of 0 is no limit."""
    timeout = urllib3.Timeout(total=timeout_s or None)
    try:
        with urllib3.PoolManager(timeout=timeout, retries=_REDIRECTS) as pool:
            reply = fetch(pool, "GET", url, timeout_s=timeout_s, headers=_PLAIN, limit=MAX_BYTES)
    except TooLarge:
        raise UserError(f"cannot read {shown(url)}: it is larger than {MAX_BYTES >> 20} MiB") from None
    except urllib3.exceptions.HTTPError as error:
        cause = error.reason if isinstance(error, urllib3.exceptions.MaxRetryError) else error
        reason = failure_reason(cause) if isinstance(cause, urllib3.exceptions.HTTPError) else str(cause)
        raise UserError(f"cannot read {shown(url)}: {reason}") from None
    if reply.status != 200:
        raise UserError(f"cannot read {shown(url)}: the server answered with status {reply.status}")
    return reply.body
