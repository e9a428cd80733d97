"""What zone proxies have: one listener whose chains are told apart by SNI, and clusters that pass TLS on
(contract 5.7)."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.listener.v3 import listener_pb2
from envoy.extensions.filters.network.direct_response.v3 import config_pb2 as direct_response_pb2

from kumacp.xds.build import defaults, egress
from kumacp.xds.build.clusters import eds_cluster
from kumacp.xds.build.endpoints import assignment
from kumacp.xds.build.filters import chain as make_chain
from kumacp.xds.build.filters import listener as make_listener
from kumacp.xds.build.filters import network_filter, tcp_proxy
from kumacp.xds.build.messages import serialise, text
from kumacp.xds.edge.outside import OutsideChain
from kumacp.xds.edge.units import (
    Chain,
    EdgeChain,
    EdgeCluster,
    EdgeEndpoints,
    EdgeListener,
    KeySet,
)

_Subsets = cluster_pb2.Cluster.LbSubsetConfig


def cluster(unit: EdgeCluster) -> Any:
    made = eds_cluster(unit.name)
    if unit.subsets:
        made.lb_subset_config.CopyFrom(_subsets(unit.subsets))
    return made


def load_assignment(unit: EdgeEndpoints) -> Any:
    return assignment(unit.name, unit.endpoints)


def listener(unit: EdgeListener) -> bytes:
    """Whoever asks for no server name of these, or for none at all, is cut off.

    A zone has thousands of chains, of which one comes or goes at a time: so each is serialised once, for all
    proxies. Messages that are written one after the other are one message with the fields of all.
    """
    if not unit.chains:
        return serialise(make_listener(unit, [make_chain([_nothing(unit)])], inspect_tls=True))
    return serialise(make_listener(unit, (), inspect_tls=True)) + b"".join(map(_serialised, unit.chains))


@lru_cache(2**16)
def _serialised(chain: Chain) -> bytes:
    """A listener of which nothing is said but this chain."""
    return serialise(listener_pb2.Listener(filter_chains=[_CHAINS[type(chain)](chain)]))


def _pass_on(unit: EdgeChain) -> Any:
    proxy = tcp_proxy(
        unit.cluster,
        stats=unit.cluster,
        idle_timeout_s=defaults.INBOUND_IDLE_TIMEOUT,
        connect_attempts=defaults.TCP_CONNECT_ATTEMPTS,
        subset=unit.subset,
    )
    return make_chain([proxy], transport="tls", server_name=unit.sni)


_CHAINS: Mapping[type, Callable[[Any], Any]] = {
    EdgeChain: _pass_on,
    OutsideChain: egress.outside_chain,
}


def _nothing(unit: EdgeListener) -> Any:
    """Envoy takes no listener without chains."""
    body = json.dumps({"proxy": unit.proxy, "zone": unit.zone}, separators=(",", ":"))
    return network_filter("direct_response", direct_response_pb2.Config(response=text(body)))


def _subsets(keys: Sequence[KeySet]) -> Any:
    """Where nobody has the tags that are asked for, nobody answers."""
    selector = _Subsets.LbSubsetSelector
    return _Subsets(
        fallback_policy=_Subsets.ANY_ENDPOINT,
        subset_selectors=[selector(keys=key_set, fallback_policy=selector.NO_FALLBACK) for key_set in keys],
    )
