"""What the host's files say: resource, certificates, IPv6, memory limit."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

from kumadp.plan import is_local
from kumadp.settings import DpSettings
from kumamesh.errors import UserError

_SYSTEM_CA_PATHS = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/tls/cacert.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
)
_IPV6_TABLE = Path("/proc/net/if_inet6")
_MEMORY_LIMIT = Path("/sys/fs/cgroup/memory.max")
_LOCAL_CA = Path("~/.kuma/kuma-cp.crt")


def resource_text(settings: DpSettings) -> tuple[str, str]:
    """(text, what to call it in messages); the text is "" when no resource was given."""
    if not settings.resource_file:
        return settings.resource, "--dataplane"
    if settings.resource_file == "-":
        return sys.stdin.read(), "standard input"
    text = _read(Path(settings.resource_file).expanduser(), "the resource file")
    return text, settings.resource_file


def trusted_ca(settings: DpSettings) -> tuple[str, str]:
    """(PEM, where it is from) for the control plane's certificate; ("", "") for the system's authorities."""
    if settings.ca_cert:
        return settings.ca_cert, "KUMA_CONTROL_PLANE_CA_CERT"
    if settings.ca_cert_file:
        path = settings.ca_cert_file.expanduser()
        return _read(path, "the CA certificate file"), str(path)
    local = _LOCAL_CA.expanduser()
    if is_local(settings.cp_address, socket.gethostname()) and local.is_file():
        return _read(local, "the local control plane's certificate"), str(local)
    return "", ""


def system_ca_path(given: str) -> str:
    """The first of the usual CA bundles that exists, unless one was given."""
    return given or next((path for path in _SYSTEM_CA_PATHS if Path(path).exists()), "")


def has_ipv6(table: Path = _IPV6_TABLE) -> bool:
    """Whether an interface other than the loopback one has an IPv6 address."""
    try:
        lines = table.read_text(encoding="ascii").splitlines()
    except OSError:
        return False
    return any(line.split()[-1] != "lo" for line in lines if line.strip())


def memory_limit_bytes(given: int, limit: Path = _MEMORY_LIMIT) -> int:
    """The control group's limit unless one was given; 0 when there is none."""
    if given:
        return given
    try:
        text = limit.read_text(encoding="ascii").strip()
    except OSError:
        return 0
    return int(text) if text.isdecimal() else 0


def _read(path: Path, what: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise UserError(f"{what} {path} cannot be read: {reason}") from None
