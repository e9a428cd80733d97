"""Rules of the backends of a Mesh and of their `conf` (kuma-cp 2.5, 7.4)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar
from urllib.parse import urlsplit

from kumamesh.resource import Violation
from kumamesh.resources.base import Spec
from kumamesh.resources.conf import (
    BuiltinConf,
    DatadogConf,
    DataSource,
    FileLoggingConf,
    PrometheusConf,
    ProvidedConf,
    TcpLoggingConf,
    ZipkinConf,
)
from kumamesh.resources.dataplane import MetricsBackend
from kumamesh.resources.mesh import LoggingBackend, MtlsBackend, TracingBackend
from kumamesh.resources.rules.common import (
    BAD_DURATION,
    CANNOT_BE_EMPTY,
    Violations,
    allowed,
    check_port,
    join,
    positive_duration,
)
from kumamesh.resources.translate import check

C = TypeVar("C", bound=Spec)

_RSA_BITS = range(1024, 8193)
_HOST_PORT = re.compile(r"(\[[^\[\]]+\]|[^:\[\]]+):[^:\[\]]+")
_ZIPKIN_VERSIONS = ("httpJsonV1", "httpJson", "httpProto")


def _check_conf(
    path: str, model: type[C], conf: Mapping[str, Any], rules: Callable[[C], Violations]
) -> Violations:
    """Form and rules of a `conf`; fields that the rules name are relative to it."""
    for violation in check(model, conf, rules).violations:
        yield replace(violation, field=join(path, violation.field))


def check_mtls_backend(path: str, backend: MtlsBackend, *, skip_validation: bool) -> Violations:
    """`skip_validation` lets an authority of the user pass unseen, for the steps of changing it."""
    if not backend.name:
        yield Violation(f"{path}.name", CANNOT_BE_EMPTY)
    conf = f"{path}.conf"
    if backend.type == "builtin":
        yield from _check_conf(conf, BuiltinConf, backend.conf, _check_builtin)
    elif backend.type != "provided":
        yield Violation(f"{path}.type", "could not find installed plugin for this type")
    elif not skip_validation:
        yield from _check_conf(conf, ProvidedConf, backend.conf, _check_provided)


def _check_builtin(conf: BuiltinConf) -> Violations:
    bits, expiration = conf.ca_cert.rsa_bits, conf.ca_cert.expiration
    if bits is not None and bits not in _RSA_BITS:
        yield Violation("caCert.RSAbits", "has to be in the range [1024, 8192]")
    if expiration and not positive_duration(expiration):
        yield Violation("caCert.expiration", BAD_DURATION)


def _check_provided(conf: ProvidedConf) -> Violations:
    for field, source in (("cert", conf.cert), ("key", conf.key)):
        if source is None:
            yield Violation(field, "has to be defined")
        else:
            yield from _check_data_source(field, source)


def _check_data_source(path: str, source: DataSource) -> Violations:
    values = {
        "secret": source.secret,
        "file": source.file,
        "inline": source.inline,
        "inlineString": source.inline_string,
    }
    if len(source.model_fields_set) != 1:
        yield Violation(path, f"data source has to be chosen. Available sources: {', '.join(values)}")
    elif not any(values.values()):
        yield Violation(path, CANNOT_BE_EMPTY)


def check_metrics_backend(path: str, backend: MetricsBackend) -> Violations:
    if backend.type == "prometheus":
        yield from _check_conf(f"{path}.conf", PrometheusConf, backend.conf, _check_prometheus)
    else:
        yield Violation(f"{path}.type", 'unknown backend type. Available backends: "prometheus"')


def _check_prometheus(conf: PrometheusConf) -> Violations:
    if conf.port:
        yield from check_port("port", conf.port)
    if conf.skip_mtls is not None and conf.tls is not None:
        agreed = "disabled" if conf.skip_mtls else "activeMTLSBackend"
        if conf.tls.mode != agreed:
            yield Violation("", "skipMTLS and tls configuration cannot be defined together")
    try:
        re.compile(conf.envoy.filter_regex if conf.envoy else "")
    except re.error as error:
        yield Violation("envoy.filterRegex", f"provided regexp isn't correct: {error}")
    seen: set[str] = set()
    for index, application in enumerate(conf.aggregate):
        if application.name in seen:
            text = f"duplicate entry: {application.name}, values have to be unique"
            yield Violation(f"aggregate[{index}].name", text)
        seen.add(application.name)


def check_logging_backend(path: str, backend: LoggingBackend) -> Violations:
    if not backend.name:
        yield Violation(f"{path}.name", CANNOT_BE_EMPTY)
    if backend.type == "file":
        yield from _check_conf(f"{path}.conf", FileLoggingConf, backend.conf, _check_file)
    elif backend.type == "tcp":
        yield from _check_conf(f"{path}.conf", TcpLoggingConf, backend.conf, _check_tcp)
    else:
        yield Violation(f"{path}.type", 'unknown backend type. Available backends: "tcp", "file"')


def _check_file(conf: FileLoggingConf) -> Violations:
    if not conf.path:
        yield Violation("path", CANNOT_BE_EMPTY)


def _check_tcp(conf: TcpLoggingConf) -> Violations:
    if not conf.address:
        yield Violation("address", CANNOT_BE_EMPTY)
    elif not _HOST_PORT.fullmatch(conf.address):
        yield Violation("address", "has to be in format of HOST:PORT")


def check_tracing_backend(path: str, backend: TracingBackend) -> Violations:
    if not backend.name:
        yield Violation(f"{path}.name", CANNOT_BE_EMPTY)
    if backend.sampling is not None and not 0.0 <= backend.sampling <= 100.0:
        yield Violation(f"{path}.sampling", "has to be in [0.0 - 100.0] range")
    if backend.type == "zipkin":
        yield from _check_conf(f"{path}.conf", ZipkinConf, backend.conf, _check_zipkin)
    elif backend.type == "datadog":
        yield from _check_conf(f"{path}.conf", DatadogConf, backend.conf, _check_datadog)
    else:
        yield Violation(f"{path}.type", 'unknown backend type. Available backends: "zipkin", "datadog"')


def _check_datadog(conf: DatadogConf) -> Violations:
    if not conf.address:
        yield Violation("address", CANNOT_BE_EMPTY)
    yield from check_port("port", conf.port)


def _check_zipkin(conf: ZipkinConf) -> Violations:
    if conf.api_version and conf.api_version not in _ZIPKIN_VERSIONS:
        yield Violation("apiVersion", f"has invalid value. {allowed(_ZIPKIN_VERSIONS)}")
    if not conf.url:
        yield Violation("url", CANNOT_BE_EMPTY)
        return
    try:
        url = urlsplit(conf.url)
        port = url.port
    except ValueError:
        yield Violation("url", "invalid URL")
        return
    if not url.scheme or not url.hostname:
        yield Violation("url", "invalid URL")
    elif port is None:
        yield Violation("url", "port has to be explicitly specified")
