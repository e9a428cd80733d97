"""The forms that `conf` of a backend has, by the type of the backend (kuma-cp 2.5)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from kumamesh.resources.base import EMPTY, Base64, Flag, Spec, Tags, WholeNumber


class DataSource(Spec):
    """Where bytes come from; exactly one field is set."""

    secret: str = ""
    file: str = ""
    inline: Base64 = b""
    inline_string: str = Field(default="", repr=False)


class BuiltinCaCert(Spec):
    rsa_bits: WholeNumber | None = Field(
        default=None, validation_alias="RSAbits", serialization_alias="RSAbits"
    )
    expiration: str = ""


class BuiltinConf(Spec):
    """Certificate authority that the control plane makes."""

    ca_cert: BuiltinCaCert = BuiltinCaCert()


class ProvidedConf(Spec):
    """Certificate authority that the user brings."""

    cert: DataSource | None = None
    key: DataSource | None = None


class PrometheusAggregate(Spec):
    name: str = ""
    port: WholeNumber = 0
    path: str = ""
    enabled: Flag | None = None
    address: str = ""


class PrometheusEnvoy(Spec):
    filter_regex: str = ""
    used_only: Flag | None = None


class PrometheusTls(Spec):
    mode: Literal["activeMTLSBackend", "providedTLS", "disabled"] = "activeMTLSBackend"


class PrometheusConf(Spec):
    port: WholeNumber = 0
    path: str = ""
    tags: Tags = EMPTY
    skip_mtls: Flag | None = Field(default=None, validation_alias="skipMTLS", serialization_alias="skipMTLS")
    aggregate: tuple[PrometheusAggregate, ...] = ()
    envoy: PrometheusEnvoy | None = None
    tls: PrometheusTls | None = None


class FileLoggingConf(Spec):
    path: str = ""


class TcpLoggingConf(Spec):
    address: str = ""


class ZipkinConf(Spec):
    url: str = ""
    trace_id128bit: Flag = Field(
        default=False, validation_alias="traceId128bit", serialization_alias="traceId128bit"
    )
    api_version: str = ""
    shared_span_context: Flag | None = None


class DatadogConf(Spec):
    address: str = ""
    port: WholeNumber = 0
    split_service: Flag = False
