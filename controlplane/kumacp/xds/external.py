"""The ExternalServices of one mesh as endpoints of its services, current change by change (contract 5.10).

One that cannot be used as it is written, for a Secret that is missing or holds no certificate, keeps the
endpoint that it had, if it is of the same service: traffic must not stop by a slip, nor lose its TLS.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from kumacp.identity import x509
from kumacp.xds.facts import common_protocol
from kumacp.xds.model import Endpoint
from kumacp.xds.outside import ExternalEndpoint, ExternalTls
from kumamesh.names import EXTERNAL_SERVICE_TAG, SERVICE_TAG, ZONE_TAG
from kumamesh.resources.conf import DataSource
from kumamesh.resources.external_service import ExternalService, ExternalServiceTls, split_address
from kumamesh.resources.rules.common import is_ip


class Unusable(Exception):
    """Why an ExternalService has no endpoint; a text for a person, without anything secret."""


class Fault(NamedTuple):
    """An ExternalService that cannot be used as it is written; the reason is "" when it can again."""

    external_service: str
    reason: str


@dataclass(frozen=True, slots=True)
class ExternalFacts:
    """What the ExternalServices of one service say together; endpoints are sorted by their names."""

    protocol: str
    endpoints: tuple[ExternalEndpoint, ...]


class ExternalServices:
    """Changes are noted one by one; `commit` says which services they concern."""

    def __init__(self) -> None:
        self._specs: dict[str, ExternalService] = {}
        self._endpoints: dict[str, ExternalEndpoint] = {}
        self._by_service: dict[str, set[str]] = {}
        self._by_secret: dict[str, set[str]] = {}
        self._changed: set[str] = set()
        self._services: set[str] = set()
        self.faults: dict[str, str] = {}

    def __bool__(self) -> bool:
        return bool(self._specs)

    @property
    def services(self) -> Iterable[str]:
        """Services that at least one ExternalService stands for."""
        return self._by_service.keys()

    def of(self, service: str) -> ExternalFacts | None:
        """None for a service that no ExternalService stands for."""
        names = sorted(self._by_service.get(service, ()))
        if not names:
            return None
        return ExternalFacts(
            common_protocol(self._specs[name].protocol_name for name in names),
            tuple(self._endpoints[name] for name in names if name in self._endpoints),
        )

    def note(self, name: str, spec: ExternalService | None) -> None:
        """None means deleted."""
        before = self._specs.pop(name, None)
        if before is not None:
            self._services.add(before.service)
            _remove(self._by_service, before.service, name)
            for secret in _secrets(before):
                _remove(self._by_secret, secret, name)
        if before is None or spec is None or before.service != spec.service:
            self._endpoints.pop(name, None)
        if spec is not None:
            self._specs[name] = spec
            self._by_service.setdefault(spec.service, set()).add(name)
            for secret in _secrets(spec):
                self._by_secret.setdefault(secret, set()).add(name)
        self._changed.add(name)

    def note_secret(self, name: str) -> None:
        self._changed |= self._by_secret.get(name, set())

    def commit(self, secrets: Mapping[str, bytes]) -> tuple[frozenset[str], tuple[Fault, ...]]:
        """Services for which something may be different since the last commit, and faults that are new or
        gone. `secrets` are those of the mesh by name."""
        faults = tuple(fault for name in sorted(self._changed) if (fault := self._resolve(name, secrets)))
        services = frozenset(self._services)
        self._changed, self._services = set(), set()
        return services, faults

    def _resolve(self, name: str, secrets: Mapping[str, bytes]) -> Fault | None:
        spec = self._specs.get(name)
        if spec is None:
            self.faults.pop(name, None)
            return None
        self._services.add(spec.service)
        reason = ""
        try:
            self._endpoints[name] = external_endpoint(name, spec, secrets)
        except Unusable as error:
            reason = str(error)
        if reason == self.faults.get(name, ""):
            return None
        if reason:
            self.faults[name] = reason
        else:
            del self.faults[name]
        return Fault(name, reason)


def external_endpoint(name: str, spec: ExternalService, secrets: Mapping[str, bytes]) -> ExternalEndpoint:
    """The endpoint of the ExternalService `name`; raises Unusable."""
    host, port = split_address(spec.networking.address)
    tags = {tag: value for tag, value in spec.tags.items() if tag != SERVICE_TAG}
    tls = None
    if spec.tls is not None:
        tls = _tls(spec.tls, host, _material(spec, secrets))
        tags[EXTERNAL_SERVICE_TAG] = name
    at = Endpoint(host, int(port), tags=tuple(sorted(tags.items())), zone=tags.get(ZONE_TAG, ""))
    return ExternalEndpoint(at, tls)


def _tls(tls: ExternalServiceTls, host: str, material: Mapping[str, bytes]) -> ExternalTls:
    server_name = tls.server_name or ("" if is_ip(host) else host)
    # As Envoy writes the address that it finds in a certificate.
    stated = str(ipaddress.ip_address(host)) if is_ip(host) else host
    certificate, key = material.get("clientCert", b""), material.get("clientKey", b"")
    return ExternalTls(
        server_name=server_name,
        expected="" if tls.skip_hostname_verification else server_name or stated,
        ca=material.get("caCert", b""),
        certificate=certificate if key else b"",
        private_key=key if certificate else b"",
        allow_renegotiation=bool(tls.allow_renegotiation),
    )


def _material(spec: ExternalService, secrets: Mapping[str, bytes]) -> dict[str, bytes]:
    """PEM texts by field. Checked here, so that no proxy is sent what its Envoy would refuse."""
    found = {field: _load(field, source, secrets) for field, source in spec.sources().items()}
    for field in found.keys() - {"clientKey"}:
        try:
            x509.load_certificates(found[field])
        except ValueError:
            raise Unusable(f"networking.tls.{field} is not a certificate in PEM form") from None
    if "clientKey" in found:
        try:
            fits = "clientCert" not in found or x509.matches(found["clientCert"], found["clientKey"])
            x509.load_private_key(found["clientKey"])
        except ValueError:
            text = "networking.tls.clientKey is not an unencrypted RSA or EC key in PEM form"
            raise Unusable(text) from None
        if not fits:
            raise Unusable("networking.tls.clientKey does not belong to networking.tls.clientCert")
    return found


def _load(field: str, source: DataSource, secrets: Mapping[str, bytes]) -> bytes:
    if not source.secret:
        return source.inline or source.inline_string.encode()
    if source.secret not in secrets:
        text = f'networking.tls.{field} names the Secret "{source.secret}", which the mesh does not have'
        raise Unusable(text)
    return secrets[source.secret]


def _secrets(spec: ExternalService) -> set[str]:
    return {source.secret for source in spec.sources().values() if source.secret}


def _remove(index: dict[str, set[str]], key: str, name: str) -> None:
    index[key].discard(name)
    if not index[key]:
        del index[key]
