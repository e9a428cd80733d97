"""By which units a proxy is told the names that it sees (contract 4.1, 4.3)."""

from __future__ import annotations

from collections.abc import Callable

from kumacp.xds.model import ProxyMetadata, UnitInput
from kumacp.xds.name_table import DnsListener, DynamicConfig, NameTable, Page
from kumacp.xds.sight import Sight
from kumacp.xds.transparent import REUSE_PORT
from kumacp.xds.units import UnitKey
from kumadp_bootstrap.paths import dynamic_config

EMBEDDED_DNS = "feature-embedded-dns"
NAMES_PATH = "/dns"


def name_units(
    seen: Sight | None, metadata: ProxyMetadata, table: Callable[[], NameTable]
) -> dict[UnitKey, UnitInput]:
    """Nothing for a proxy that answers no names. An agent with a name server of its own has the names in the
    dynamic configuration, also when its proxy binds the addresses (which Kuma does not); for others Envoy
    answers them."""
    if seen is None or not metadata.dns_port:
        return {}
    unit: UnitInput | None = None
    if EMBEDDED_DNS in metadata.features:
        if metadata.workdir:
            names = table()
            page = Page(NAMES_PATH, names.etag, names.document)
            unit = DynamicConfig(dynamic_config(metadata.workdir), (page,), metadata.ipv6_enabled)
    elif not seen.bind:
        unit = DnsListener(metadata.dns_port, table(), REUSE_PORT in metadata.features)
    return {} if unit is None else {(unit.type_url, unit.name): unit}
