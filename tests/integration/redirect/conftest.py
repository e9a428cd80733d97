"""Hosts whose tables the tests may change."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from host_tables import TOOLS, add_others
from redirected_network import Host, missing, network
from redirected_sockets import close_all


@pytest.fixture
def host() -> Iterator[Host]:
    if lacking := missing(*TOOLS):
        pytest.skip(lacking)
    with network("host") as hosts:
        yield hosts["host"]


@pytest.fixture
def used(host: Host) -> Host:
    """A host whose tables have rules of somebody else."""
    add_others(host)
    return host


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    """No test leaves sockets to the next."""
    yield
    close_all()
