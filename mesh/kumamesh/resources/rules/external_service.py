"""Rules of ExternalService (kuma-cp 2.6)."""

from __future__ import annotations

from kumamesh.names import SERVICE_TAG
from kumamesh.resource import Violation
from kumamesh.resources.conf import DataSource
from kumamesh.resources.external_service import (
    ExternalService,
    ExternalServiceNetworking,
    ExternalServiceTls,
    split_address,
)
from kumamesh.resources.rules.common import (
    CANNOT_BE_EMPTY,
    Violations,
    check_port,
    check_protocol,
    check_tags,
    is_dns_name,
    is_ip,
    key,
)

_ADDRESS = "networking.address"
_MAX_UINT32 = 2**32 - 1


def check_external_service(service: ExternalService) -> Violations:
    if "networking" in service.model_fields_set:
        yield from _check_networking(service.networking)
    else:
        yield Violation("networking", "should have networking")
    yield from check_protocol("tags", service.tags)
    yield from check_tags("tags", service.tags, require_service=True)
    if service.service and service.service == _parts(service.networking.address)[0]:
        yield Violation(key("tags", SERVICE_TAG), "cannot be the same as networking.address")


def _check_networking(networking: ExternalServiceNetworking) -> Violations:
    yield from _check_address(networking.address)
    if networking.tls is not None:
        yield from _check_tls(networking.tls)


def _check_address(address: str) -> Violations:
    if not address:
        yield Violation(_ADDRESS, "address can't be empty")
        return
    host, port = _parts(address)
    if not (host or port):
        yield Violation(_ADDRESS, "unable to parse address")
    if not (is_ip(host) or is_dns_name(host)):
        yield Violation(_ADDRESS, "address has to be a valid IP address or a domain name")
    number = int(port) if port.isascii() and port.isdecimal() and len(port) <= len(str(_MAX_UINT32)) else None
    if number is None or number > _MAX_UINT32:
        yield Violation(_ADDRESS, "unable to parse port in address")
    yield from check_port(_ADDRESS, number or 0)


def _parts(address: str) -> tuple[str, str]:
    """Host and port, both empty for what is no address."""
    try:
        return split_address(address)
    except ValueError:
        return "", ""


def _check_tls(tls: ExternalServiceTls) -> Violations:
    if tls.server_name == "":
        yield Violation("networking.tls.serverName", CANNOT_BE_EMPTY)
    sources = (("caCert", tls.ca_cert), ("clientCert", tls.client_cert), ("clientKey", tls.client_key))
    for field, source in sources:
        if source is not None:
            yield from _check_source(f"networking.tls.{field}", source)


def _check_source(path: str, source: DataSource) -> Violations:
    """Kuma reads a `file` on the host of its control plane. Whoever may write to one mesh must not have the
    files of that host sent to a proxy of his."""
    given = (source.secret, source.file, source.inline, source.inline_string)
    if not any(given):
        yield Violation(path, "data source cannot be empty")
    elif sum(map(bool, given)) > 1:
        yield Violation(path, "must have only one of secret, inline and inlineString")
    elif source.file:
        text = (
            "files on the host of the control plane are not read; put the content into a Secret of the mesh"
        )
        yield Violation(f"{path}.file", f"{text} and name it with secret")
