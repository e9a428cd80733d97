"""Unix sockets under the work dir whose names the agent and the control plane both derive (contract 2.5).

Kuma cuts the whole path, directory included, so both ends must compute exactly this.
"""

from __future__ import annotations

import posixpath

from kumamesh.errors import UserError

MAX_SOCKET_PATH_BYTES = 107
"""What `sun_path` holds beside its final NUL (unix(7))."""
_MAX_STEM_BYTES = 98
_LONGEST_FIXED_NAME = "kuma-readiness-reporter"


def access_log(workdir: str, name: str, mesh: str) -> str:
    """The FIFO that Envoy writes access logs to."""
    return _socket(workdir, f"kuma-al-{name}-{mesh}")


def metrics_hijacker(workdir: str, name: str, mesh: str) -> str:
    """Where the agent serves merged metrics."""
    return _socket(workdir, f"kuma-mh-{name}-{mesh}")


def dynamic_config(workdir: str) -> str:
    """Where Envoy serves the control plane's documents to the agent; the name is historic."""
    return _socket(workdir, "kuma-mesh-metric-config")


def otel_exporter(workdir: str, backend: str) -> str:
    """Where Envoy takes OpenTelemetry data for the backend."""
    return _socket(workdir, f"kuma-otel-{backend}")


def readiness_reporter(workdir: str) -> str:
    """Where the agent says whether it is ready."""
    return _socket(workdir, _LONGEST_FIXED_NAME)


def check_socket_path(path: str) -> str:
    """The path, if a Unix socket can have it; raises UserError."""
    size = len(path.encode())
    if size > MAX_SOCKET_PATH_BYTES:
        raise UserError(
            f"the socket path {path} has {size} bytes, but a Unix socket takes {MAX_SOCKET_PATH_BYTES}: "
            "give a shorter --work-dir"
        )
    return path


def check_work_dir(workdir: str) -> str:
    """The directory, if the sockets with fixed names fit into it uncut; raises UserError."""
    stem = posixpath.join(workdir, _LONGEST_FIXED_NAME)
    if len(stem.encode()) > _MAX_STEM_BYTES:
        most = _MAX_STEM_BYTES - len(_LONGEST_FIXED_NAME) - 1
        raise UserError(
            f"the work dir {workdir} has {len(workdir.encode())} bytes, but the names of its sockets leave "
            f"room for {most}: give a shorter --work-dir"
        )
    return workdir


def _socket(workdir: str, base: str) -> str:
    stem = posixpath.normpath(posixpath.join(workdir, base))
    return stem.encode()[:_MAX_STEM_BYTES].decode(errors="ignore") + ".sock"
