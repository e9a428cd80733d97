"""Rules of the backends of a Mesh and of their `conf` (kuma-cp 2.5, 7.4)."""

from __future__ import annotations

import re
from typing import TypeVar
from urllib.parse import urlsplit

from kumamesh.resource import Violation
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
from kumamesh.resources.base import Spec, Struct
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
from kumamesh.resources.translate import parse

C = TypeVar("C", bound=Spec)

_RSA_BITS = range(1024, 8193)
_ZIPKIN_VERSIONS = ("httpJsonV1", "httpJson", "httpProto")


def _parse(path: str, model: type[C], conf: Struct) -> tuple[C | None, Violations]:
    """The typed configuration if it has the right form, and what is wrong with the form."""
    parsed = parse(model, dict(conf))
    spec = parsed.spec if not parsed.violations else None
    return spec, (Violation(join(path, v.field), v.message) for v in parsed.violations)


def check_mtls_backend(path: str, backend: MtlsBackend) -> Violations:
    if not backend.name:
        yield Violation(f"{path}.name", CANNOT_BE_EMPTY)
    if backend.type == "builtin":
        yield from _check_builtin(f"{path}.conf", backend)
    elif backend.type == "provided":
        yield from _check_provided(f"{path}.conf", backend)
    else:
        yield Violation(f"{path}.type", "could not find installed plugin for this type")


def _check_builtin(path: str, backend: MtlsBackend) -> Violations:
    conf, wrong = _parse(path, BuiltinConf, backend.conf)
    yield from wrong
    if conf is None:
        return
    bits, expiration = conf.ca_cert.rsa_bits, conf.ca_cert.expiration
    if bits is not None and bits not in _RSA_BITS:
        yield Violation(f"{path}.caCert.RSAbits", "has to be in the range [1024, 8192]")
    if expiration and not positive_duration(expiration):
        yield Violation(f"{path}.caCert.expiration", BAD_DURATION)


def _check_provided(path: str, backend: MtlsBackend) -> Violations:
    conf, wrong = _parse(path, ProvidedConf, backend.conf)
    yield from wrong
    if conf is None:
        return
    for field, source in (("cert", conf.cert), ("key", conf.key)):
        if source is None:
            yield Violation(f"{path}.{field}", "has to be defined")
        else:
            yield from _check_data_source(f"{path}.{field}", source)


def _check_data_source(path: str, source: DataSource) -> Violations:
    chosen = source.model_fields_set
    if len(chosen) != 1:
        yield Violation(path, "data source has to be chosen. Available sources: secret, file, inline, inlineString")
        return
    values = {
        "secret": source.secret,
        "file": source.file,
        "inline": source.inline,
        "inlineString": source.inline_string,
    }
    if not any(values.values()):
        field = "inlineString" if "inline_string" in chosen else next(iter(chosen))
        yield Violation(f"{path}.{field}", CANNOT_BE_EMPTY)


def check_metrics_backend(path: str, backend: MetricsBackend) -> Violations:
    if backend.type != "prometheus":
        yield Violation(f"{path}.type", 'unknown backend type. Available backends: "prometheus"')
        return
    conf, wrong = _parse(f"{path}.conf", PrometheusConf, backend.conf)
    yield from wrong
    if conf is not None:
        yield from _check_prometheus(f"{path}.conf", conf)


def _check_prometheus(path: str, conf: PrometheusConf) -> Violations:
    if conf.port:
        yield from check_port(f"{path}.port", conf.port)
    if conf.skip_mtls is not None and conf.tls is not None:
        agreed = "disabled" if conf.skip_mtls else "activeMTLSBackend"
        if conf.tls.mode != agreed:
            yield Violation(path, "skipMTLS and tls configuration cannot be defined together")
    if conf.envoy is not None:
        try:
            re.compile(conf.envoy.filter_regex)
        except re.error as error:
            yield Violation(f"{path}.envoy.filterRegex", f"provided regexp isn't correct: {error}")
    seen: set[str] = set()
    for index, application in enumerate(conf.aggregate):
        if application.name in seen:
            yield Violation(
                f"{path}.aggregate[{index}].name",
                f"duplicate entry: {application.name}, values have to be unique",
            )
        seen.add(application.name)


def check_logging_backend(path: str, backend: LoggingBackend) -> Violations:
    if not backend.name:
        yield Violation(f"{path}.name", CANNOT_BE_EMPTY)
    if backend.type == "file":
        file, wrong = _parse(f"{path}.conf", FileLoggingConf, backend.conf)
        yield from wrong
        if file is not None and not file.path:
            yield Violation(f"{path}.conf.path", CANNOT_BE_EMPTY)
    elif backend.type == "tcp":
        tcp, wrong = _parse(f"{path}.conf", TcpLoggingConf, backend.conf)
        yield from wrong
        if tcp is not None:
            yield from _check_host_port(f"{path}.conf.address", tcp.address)
    else:
        yield Violation(f"{path}.type", 'unknown backend type. Available backends: "tcp", "file"')


def _check_host_port(path: str, address: str) -> Violations:
    if not address:
        yield Violation(path, CANNOT_BE_EMPTY)
    elif not re.fullmatch(r"(\[[^\[\]]+\]|[^:\[\]]+):[^:\[\]]+", address):
        yield Violation(path, "has to be in format of HOST:PORT")


def check_tracing_backend(path: str, backend: TracingBackend) -> Violations:
    if not backend.name:
        yield Violation(f"{path}.name", CANNOT_BE_EMPTY)
    if backend.sampling is not None and not 0.0 <= backend.sampling <= 100.0:
        yield Violation(f"{path}.sampling", "has to be in [0.0 - 100.0] range")
    if backend.type == "zipkin":
        zipkin, wrong = _parse(f"{path}.conf", ZipkinConf, backend.conf)
        yield from wrong
        if zipkin is not None:
            yield from _check_zipkin(f"{path}.conf", zipkin)
    elif backend.type == "datadog":
        datadog, wrong = _parse(f"{path}.conf", DatadogConf, backend.conf)
        yield from wrong
        if datadog is not None:
            if not datadog.address:
                yield Violation(f"{path}.conf.address", CANNOT_BE_EMPTY)
            yield from check_port(f"{path}.conf.port", datadog.port)
    else:
        yield Violation(f"{path}.type", 'unknown backend type. Available backends: "zipkin", "datadog"')


def _check_zipkin(path: str, conf: ZipkinConf) -> Violations:
    if conf.api_version and conf.api_version not in _ZIPKIN_VERSIONS:
        yield Violation(f"{path}.apiVersion", f"has invalid value. {allowed(_ZIPKIN_VERSIONS)}")
    if not conf.url:
        yield Violation(f"{path}.url", CANNOT_BE_EMPTY)
        return
    try:
        url = urlsplit(conf.url)
        port = url.port
    except ValueError:
        yield Violation(f"{path}.url", "invalid URL")
        return
    if not url.scheme or not url.hostname:
        yield Violation(f"{path}.url", "invalid URL")
    elif port is None:
        yield Violation(f"{path}.url", "port has to be explicitly specified")
