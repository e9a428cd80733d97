"""What the host's files say: resource, certificates, IPv6, memory limit."""

from __future__ import annotations

import socket
from pathlib import Path

from kumadp.certificates import certificates
from kumadp.file_disk import read_standard_input, read_text
from kumadp.name_serving import STDIN
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
_IPV6_LOOPBACK = "0" * 31 + "1"
_MEMORY_LIMIT = Path("/sys/fs/cgroup/memory.max")
_LOCAL_CA = Path("~/.kuma/kuma-cp.crt")


def resource_text(settings: DpSettings) -> tuple[str, str]:
    """(text, what to call it in messages); the text is "" when no resource was given."""
    if not settings.resource_file:
        return settings.resource, "--dataplane"
    if settings.resource_file == STDIN:
        return read_standard_input(), "standard input"
    # A pipe as shells make them by `<(...)` is welcome here: it is read once, and a signal still ends it.
    text = read_text(Path(settings.resource_file).expanduser(), "the resource file", pipe=True)
    return text, settings.resource_file


def transparent_proxy_documents(settings: DpSettings) -> list[tuple[str, str]]:
    """(what to call it in messages, text) of each file that is to be laid over those before it."""
    names = settings.transparent_proxy_config
    try:
        return [_transparent_proxy_document(name) for name in names]
    except UserError as error:
        if len(names) < 2:
            raise
        raise UserError(
            f"{error}; commas stand between files: give one with a comma in its name as standard input, `-`"
        ) from None


def _transparent_proxy_document(name: str) -> tuple[str, str]:
    if name == STDIN:
        source, text = "standard input", read_standard_input()
    else:
        source, text = name, read_text(Path(name).expanduser(), "the transparent proxy's settings", pipe=True)
    if not text.strip():
        raise UserError(
            f"{source} is empty; it must hold the transparent proxy's settings, or give --transparent-proxy, "
            "which needs none"
        )
    return source, text


def trusted_ca(settings: DpSettings) -> tuple[str, str]:
    """(PEM, where it is from) for the control plane's certificate; ("", "") for the system's authorities."""
    if settings.ca_cert:
        source = "KUMA_CONTROL_PLANE_CA_CERT"
        return certificates(settings.ca_cert, source), source
    path, what = settings.ca_cert_file, "the CA certificate file"
    if not path and is_local(settings.cp_address, socket.gethostname()):
        path, what = _LOCAL_CA, "the local control plane's certificate"
        path = path if path.expanduser().is_file() else None
    if not path:
        return "", ""
    path = path.expanduser()
    return certificates(read_text(path, what), f"{what} {path}"), str(path)


def system_ca_path(given: str) -> str:
    """The first of the usual CA bundles that exists, unless one was given."""
    return given or next((path for path in _SYSTEM_CA_PATHS if Path(path).exists()), "")


def has_ipv6(table: Path = _IPV6_TABLE) -> bool:
    """Whether an interface other than the loopback one has an IPv6 address."""
    return any(interface != "lo" for _, interface in _ipv6_addresses(table))


def has_ipv6_loopback(table: Path = _IPV6_TABLE) -> bool:
    """Whether ::1 is there."""
    return any(address == _IPV6_LOOPBACK for address, _ in _ipv6_addresses(table))


def _ipv6_addresses(table: Path) -> list[tuple[str, str]]:
    """(address in hexadecimal, interface)."""
    try:
        lines = table.read_text(encoding="ascii").splitlines()
    except OSError:
        return []
    return [(line.split()[0], line.split()[-1]) for line in lines if line.strip()]


def memory_limit_bytes(given: int, limit: Path = _MEMORY_LIMIT) -> int:
    """The control group's limit unless one was given; 0 when there is none."""
    if given:
        return given
    try:
        text = limit.read_text(encoding="ascii").strip()
    except OSError:
        return 0
    return int(text) if text.isdecimal() else 0
