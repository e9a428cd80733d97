"""ExternalService: an address outside the mesh under the name of a service of the mesh (kuma-cp 2.6)."""

from __future__ import annotations

import re

from pydantic import Field

from kumamesh.names import PROTOCOL_TAG, SERVICE_TAG
from kumamesh.resources.base import EMPTY, Flag, Spec, Tags
from kumamesh.resources.conf import DataSource

_HOST_PORT = re.compile(r"(?:\[(?P<v6>[^\[\]]*)\]|(?P<host>[^:\[\]]*)):(?P<port>[^:\[\]]*)")


def split_address(address: str) -> tuple[str, str]:
    """Host and port of `host:port`, the brackets of an IPv6 address taken off; raises ValueError."""
    match = _HOST_PORT.fullmatch(address)
    if match is None:
        raise ValueError("must have the form host:port")
    return match["v6"] if match["host"] is None else match["host"], match["port"]


class ExternalServiceTls(Spec):
    """TLS that the proxy of the caller opens; an absent server name is the host of the address."""

    enabled: Flag = False
    ca_cert: DataSource | None = None
    client_cert: DataSource | None = None
    client_key: DataSource | None = None
    allow_renegotiation: Flag | None = None
    server_name: str | None = None
    skip_hostname_verification: Flag | None = None


class ExternalServiceNetworking(Spec):
    """`address` is host:port."""

    address: str = ""
    tls: ExternalServiceTls | None = None
    disable_host_dns_entry: Flag = Field(
        default=False, validation_alias="disableHostDNSEntry", serialization_alias="disableHostDNSEntry"
    )


class ExternalService(Spec):
    networking: ExternalServiceNetworking = ExternalServiceNetworking()
    tags: Tags = EMPTY

    @property
    def service(self) -> str:
        return self.tags.get(SERVICE_TAG, "")

    @property
    def protocol_name(self) -> str:
        return self.tags.get(PROTOCOL_TAG) or "tcp"

    @property
    def tls(self) -> ExternalServiceTls | None:
        """None unless it is enabled."""
        tls = self.networking.tls
        return tls if tls is not None and tls.enabled else None

    def sources(self) -> dict[str, DataSource]:
        """The sources of keys and certificates that are in use, by the field that names them."""
        tls = self.tls
        if tls is None:
            return {}
        fields = {"caCert": tls.ca_cert, "clientCert": tls.client_cert, "clientKey": tls.client_key}
        return {field: source for field, source in fields.items() if source is not None}
