"""What of the written configuration cannot be used, told in the log."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from kumacp.xds.external import Fault

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
