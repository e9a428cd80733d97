"""What is wrong between a zone and its global control plane, in one line that names the remedy."""

from __future__ import annotations

import re
from dataclasses import dataclass

from kumamesh.errors import one_line

_ADDRESS = "KUMA_MULTIZONE_ZONE_GLOBAL_ADDRESS"
_ROOT_CA = "KUMA_MULTIZONE_ZONE_KDS_ROOT_CA_FILE"
_SKIP = "KUMA_MULTIZONE_ZONE_KDS_TLS_SKIP_VERIFY"
_MAX_SIZE = "KUMA_MULTIZONE_ZONE_KDS_MAX_MSG_SIZE"
_CP_TOKEN = "KUMA_MULTIZONE_ZONE_KDS_AUTH_CP_TOKEN_PATH"  # noqa: S105 - a variable's name
_REFUSALS = frozenset({"UNAUTHENTICATED", "PERMISSION_DENIED", "INVALID_ARGUMENT", "FAILED_PRECONDITION"})
_SHOWN_CHARS = 500
_LAST_ERROR = re.compile(r".*last error: \w+: ")
_UNTRUSTED = re.compile(r"CERTIFICATE_VERIFY_FAILED(?:: ([^:]+))?")
_UNKNOWN_NAME = re.compile(
    r"(?:failure in|Name or service|No address|Name does not|hostname lookup|resolution failed)[\w ]*"
)


@dataclass(frozen=True, slots=True)
class Dialled:
    """How the zone dials: what a remedy depends on. `trust` names where the CAs come from."""

    target: str
    tls: bool
    skip_verify: bool = False
    trust: str = "those of the system"


@dataclass(frozen=True, slots=True)
class Trouble:
    """`refused`: trying again soon is of no use."""

    line: str
    refused: bool = False


def trouble_of(dialled: Dialled, code: str, details: str) -> Trouble:
    """From the code (in capitals) and the text of a failed gRPC call."""
    text = one_line(_LAST_ERROR.sub("", details))[:_SHOWN_CHARS]
    if code in _REFUSALS:
        return Trouble(
            f"the global control plane at {dialled.target} refuses this zone: {text}", refused=True
        )
    return _certificate(dialled, text) or _protocol(dialled, code, text) or _absence(dialled, code, text)


def unreadable(file: str, reason: str, *, token: bool) -> Trouble:
    """A file that is needed to dial cannot be read: that with the zone's token, or that with the CAs."""
    return Trouble(f"the file {file} cannot be read ({reason}): correct {_CP_TOKEN if token else _ROOT_CA}")


def _certificate(dialled: Dialled, text: str) -> Trouble | None:
    who = f"the certificate of the global control plane at {dialled.target}"
    untrusted = _UNTRUSTED.search(text)
    if untrusted is not None:
        reason = (untrusted[1] or "it is signed by nobody known").strip()
        if "expired" in reason or "not yet valid" in reason:
            return Trouble(f"{who} is not valid now ({reason}): renew it, or correct the clocks")
        if dialled.skip_verify:
            return Trouble(f"{who} was replaced while connecting ({reason})")
        return Trouble(
            f"{who} is not trusted ({reason}; CAs: {dialled.trust}): name the file with its CA in {_ROOT_CA},"
            f" or set {_SKIP}=true to trust whoever answers"
        )
    if "Hostname Verification Check failed" in text or "is not in peer certificate" in text:
        return Trouble(
            f"{who} is for another name: use one that it has in {_ADDRESS}, or set {_SKIP}=true to trust"
            " whoever answers"
        )
    if "create security handshaker" in text:
        return Trouble(f"there is no PEM certificate among the CAs ({dialled.trust}): correct {_ROOT_CA}")
    return None


def _absence(dialled: Dialled, code: str, text: str) -> Trouble:
    who = f"the global control plane at {dialled.target}"
    if _UNKNOWN_NAME.search(text):
        return Trouble(f"{who} cannot be reached (no address is found for the name): correct {_ADDRESS}")
    return Trouble(f"{who} cannot be reached ({_short(code, text)}): start it, or correct {_ADDRESS}")


def _protocol(dialled: Dialled, code: str, text: str) -> Trouble | None:
    if code == "UNIMPLEMENTED":
        return Trouble(
            f"{dialled.target} is not the KDS port of a global control plane ({text}): correct {_ADDRESS}",
            refused=True,
        )
    if "ALPN" in text:
        return Trouble(
            f"{dialled.target} is not the KDS port of a global control plane, which is 5685 unless configured"
            f" (TLS without gRPC): correct {_ADDRESS}"
        )
    if code == "RESOURCE_EXHAUSTED" and "larger than max" in text:
        return Trouble(f"global sends a message that is too large ({text}): raise {_MAX_SIZE}")
    if dialled.tls and "WRONG_VERSION_NUMBER" in text:
        return Trouble(
            f"{dialled.target} does not speak TLS: correct {_ADDRESS}, or use grpc:// if global runs with"
            " KUMA_MULTIZONE_GLOBAL_KDS_TLS_ENABLED=false"
        )
    if (
        not dialled.tls
        and code == "UNAVAILABLE"
        and re.search(r"GOAWAY|[Ss]ocket closed|reset by peer", text)
    ):
        return Trouble(
            f"{dialled.target} closes the connection ({text}): if it serves TLS, use grpcs:// in {_ADDRESS}"
        )
    return None


def _short(code: str, text: str) -> str:
    if code == "DEADLINE_EXCEEDED":
        return "it does not answer"
    return text or code.lower().replace("_", " ")
