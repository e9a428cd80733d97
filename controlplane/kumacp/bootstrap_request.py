"""The body of POST /bootstrap (contract 1.2)."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

Port = Annotated[int, Field(ge=0, le=65_535)]


class _Part(BaseModel):
    """As Go reads JSON: unknown keys are ignored, null is the same as absent."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore", alias_generator=to_camel)

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, data: Any) -> Any:
        if isinstance(data, dict):
            return {key: value for key, value in data.items() if value is not None}
        return data


class KumaDpVersion(_Part):
    version: str = ""
    git_tag: str = ""
    git_commit: str = ""
    build_date: str = ""


class EnvoyVersion(_Part):
    version: str = ""
    build: str = ""
    kuma_dp_compatible: bool = False


class Version(_Part):
    kuma_dp: KumaDpVersion = KumaDpVersion()
    envoy: EnvoyVersion = EnvoyVersion()


class ProxyResources(_Part):
    max_heap_size_bytes: Annotated[int, Field(ge=0, lt=2**64)] = 0


class MetricsResources(_Part):
    cert_path: str = ""
    key_path: str = ""


class SpireResources(_Part):
    socket_path: str = ""


class BootstrapRequest(_Part):
    """What an agent says of itself. `app_probe_proxy_disabled` means enabled, a name kept for the wire."""

    mesh: str = ""
    name: str = ""
    proxy_type: str = ""
    dataplane_token: str = Field(default="", repr=False)
    dataplane_token_path: str = ""
    dataplane_resource: str = ""
    version: Version = Version()
    ca_cert: str = ""
    dynamic_metadata: dict[str, str] = {}
    dns_port: Port = 0
    readiness_port: Port = 0
    app_probe_proxy_disabled: bool = False
    operating_system: str = ""
    features: Annotated[tuple[str, ...], Field(strict=False)] = ()  # JSON has lists only
    resources: ProxyResources = ProxyResources()
    workdir: str = ""
    metrics_resources: MetricsResources = MetricsResources()
    system_ca_path: str = ""
    dataplane_config: Any = None  # `parse_redirection` reads it, to say what is wrong with it
    ipv6_enabled: bool = Field(default=True, alias="ipv6Enabled")
    spire_resources: SpireResources = SpireResources()


def parse_request(body: bytes) -> BootstrapRequest:
    """Raises ValueError for anything that is not such a JSON object."""
    return BootstrapRequest.model_validate_json(body)
