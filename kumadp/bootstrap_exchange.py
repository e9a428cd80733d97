"""What an answer of POST /bootstrap means: a bootstrap, to ask again, or the end (contract 1.4-1.6)."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

from kumamesh.errors import one_line

_WRONG_PORT = (
    "this is not the data-plane server of a control plane; its port is 5678 unless configured, "
    "5681 and 5682 are the API's: check --cp-address"
)
_RETRIED = frozenset({408, 429})
_SHOWN_CHARS = 2_000
_NOT_YET_VALID, _EXPIRED = "not yet valid", "has expired"
TOLERATED_SKEW_S = 30.0
"""Longer than a slow answer is on its way; certificates are made for clocks that are five minutes behind."""


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """YAML of the Envoy bootstrap."""

    yaml: str


@dataclass(frozen=True, slots=True)
class Again:
    """It may work later."""

    reason: str


@dataclass(frozen=True, slots=True)
class Final:
    """It will not work however often one asks."""

    reason: str


Outcome = Bootstrap | Again | Final


def judge(status: int, body: bytes) -> Outcome:
    """What an HTTP answer means."""
    if status == 200:
        return _decoded(body)
    text = one_line(body[:_SHOWN_CHARS].decode("utf-8", "replace"))
    if status == 404:
        if text:
            return Final(f"the server answers 404 {text!r}: {_WRONG_PORT}")
        return Again(
            "the control plane does not know this proxy yet; create its resource with `kumactl apply`, "
            "or give it with --dataplane-file"
        )
    if status in _RETRIED or status >= 500:
        return Again(f"the control plane answers {status}{': ' if text else ''}{text}")
    if 400 <= status < 500:
        return Final(f"the control plane refuses this proxy ({status}): {text or 'it gives no reason'}")
    return Final(f"unexpected answer {status}: {_WRONG_PORT}")


def untrusted(reason: str, ca_source: str, now: datetime) -> Again | Final:
    """The control plane's certificate did not verify; `now` is this host's time (UTC)."""
    clock = f"this host's clock, which says {now:%Y-%m-%d %H:%M:%S} UTC"
    if _NOT_YET_VALID in reason:
        # A host that boots sets its clock a little later.
        return Again(f"the control plane's certificate is not valid yet by {clock}: set the clock")
    if _EXPIRED in reason:
        return Final(
            f"the control plane's certificate has expired by {clock}: set the clock if that is wrong, else "
            "renew the certificate"
        )
    trust = f"the certificates in {ca_source}" if ca_source else "the system's authorities"
    return Final(
        f"the control plane's certificate is not trusted by {trust} ({reason}); give the control plane's CA "
        "with --ca-cert-file (its kuma-cp.crt, when it made its own certificate)"
    )


def clock_skew(date: str | None, now: datetime) -> str | None:
    """What to tell the user when the `Date` of an answer and this host's time are too far apart."""
    try:
        ahead = (now - parsedate_to_datetime(date or "")).total_seconds()
    except (ValueError, TypeError, OverflowError):
        return None
    if abs(ahead) < TOLERATED_SKEW_S:
        return None
    difference = f"{abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'}"
    return (
        f"the clock of this host is {difference} that of the control plane: certificates and tokens may be "
        "refused as expired or not yet valid; set the clock, with NTP"
    )


def unreachable(reason: str, *, tls: bool) -> Again:
    """No connection, or one that broke off; it may be that nobody is there yet."""
    if tls:
        return Again(f"{reason}; is kuma-cp running there? check --cp-address")
    return Again(f"{reason}; the data-plane server speaks TLS: use https:// in --cp-address")


def not_tls() -> Final:
    return Final(f"the server does not speak TLS: {_WRONG_PORT}")


def _decoded(body: bytes) -> Outcome:
    try:
        answer = json.loads(body)
        return Bootstrap(base64.b64decode(_text(answer), validate=True).decode("utf-8"))
    except (ValueError, binascii.Error, UnicodeDecodeError):
        return Final(f"the answer holds no bootstrap: {_WRONG_PORT}")


def _text(answer: Any) -> str:
    text = answer.get("bootstrap") if isinstance(answer, Mapping) else None
    if not isinstance(text, str) or not text:
        raise ValueError("no bootstrap")
    return text
