"""Virtual addresses that are bound belong to one proxy of a host."""

from __future__ import annotations

from dataclasses import replace

import pytest

import hub_world as world
from kumacp.xds.model import Redirection
from kumacp.xds.sight import sight
from kumacp.xds.transparent import REUSE_PORT


@pytest.mark.parametrize(("features", "shared"), [((world.BIND,), False), ((world.IN_METADATA,), True)])
def test_another_proxy_of_the_host_gets_no_share_of_what_is_bound(
    features: tuple[str, ...], shared: bool
) -> None:
    """The kernel would spread connections over both: callers would be now the one, now the other."""
    metadata = replace(world.METADATA, features=frozenset({REUSE_PORT, *features}))
    seen = sight(world.dataplane("web").spec, replace(metadata, redirection=Redirection(15001)))
    assert seen
    assert seen.reuse_port is shared
