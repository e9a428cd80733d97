"""What of the written configuration cannot be used, told in the log."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import lru_cache

from kumacp.xds.external import Fault
from kumamesh.sni import MAX_BYTES

log = logging.getLogger(__name__)

_MAX_FAULT_LINES = 20
"""In one batch of changes of one mesh."""


def report_vips(mesh: str, fault: str | None) -> None:
    if fault:
        log.warning(
            "the virtual addresses of a mesh cannot be read, proxies keep those that they have: %s",
            fault,
            extra={"mesh": mesh},
        )
    elif fault is not None:
        log.info("the virtual addresses of a mesh can be read again", extra={"mesh": mesh})


def report_external_services(mesh: str, faults: Sequence[Fault]) -> None:
    """One Secret may make thousands unusable: not all are named."""
    if len(faults) > _MAX_FAULT_LINES:
        log.warning(
            "%d further ExternalServices became usable or unusable; the metric external_services_unusable "
            "counts those that are not",
            len(faults) - _MAX_FAULT_LINES,
            extra={"mesh": mesh},
        )
    for name, reason in faults[:_MAX_FAULT_LINES]:
        if reason:
            log.warning(
                "an ExternalService cannot be used as it is written and keeps what it had before: %s",
                reason,
                extra={"mesh": mesh, "external_service": name},
            )
        else:
            log.info("an ExternalService can be used again", extra={"mesh": mesh, "external_service": name})


NO_MTLS = "their ingresses are told by mTLS where to; enable it in the Mesh (mtls.enabledBackend)"
NO_EGRESS = (
    "the Mesh has routing.zoneEgress, and this zone has no zone egress; start one "
    "(kuma-dp run --proxy-type=egress)"
)


def report_cut_off(mesh: str, reason: str) -> None:
    """That nothing in other zones can be reached from now on, and why; "" for nothing to tell."""
    if reason:
        log.warning("services of other zones cannot be reached: %s", reason, extra={"mesh": mesh})


@lru_cache(1024)
def report_too_long(mesh: str, server_name: str) -> None:
    """Once, and not whenever the service changes."""
    log.warning(
        "instances in other zones cannot be reached by a server name of more than %d bytes; give the service "
        "a shorter name, or the outbound fewer tags: %s",
        MAX_BYTES,
        server_name,
        extra={"mesh": mesh},
    )


@lru_cache(1024)
def report_unexposed(mesh: str, service: str, reason: str) -> None:
    """Once, and not whenever the service changes."""
    log.warning(
        "a service is not offered to other zones: %s", reason, extra={"mesh": mesh, "service": service}
    )


@lru_cache(1024)
def report_same_server_name(server_name: str, cluster: str) -> None:
    """Once, and not whenever one of them changes."""
    log.warning(
        "a zone proxy carries nothing to a service whose server name differs from that of another one in "
        "upper and lower case only: write kuma.io/service in lower case",
        extra={"server_name": server_name, "cluster": cluster},
    )
