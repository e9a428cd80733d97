"""Options of gRPC: core takes any name without a word, so a misspelt one is an option that does nothing."""

import re
from pathlib import Path

import pytest
from grpc._cython import cygrpc

from kumacp.dpserver import server
from kumadp.relay import upstream_client
from kumadp_bootstrap import xds_source

ROOT = Path(__file__).parents[2]
_OPTION = re.compile(r"""["'](grpc\.[a-z0-9_.]+)["']\s*[,:]""")
_SHORTEST_OF_CLIENTS = "grpc.http2.min_ping_interval_without_data_ms"


def named_options() -> set[str]:
    rooms = ("bootstrap", "controlplane", "kumadp", "mesh")
    texts = (path.read_text() for room in rooms for path in (ROOT / room).rglob("*.py"))
    return {name for text in texts for name in _OPTION.findall(text)}


def test_every_option_is_one_that_core_knows():
    core = Path(cygrpc.__file__).read_bytes()
    names = named_options()
    assert _SHORTEST_OF_CLIENTS in names
    assert {name for name in names if name.encode() not in core} == set()


@pytest.mark.parametrize(
    "pings",
    [dict(upstream_client._OPTIONS), xds_source._CHANNEL_ARGS],
    ids=["of the agent", "of an Envoy with the bootstrap"],
)
def test_a_quiet_proxy_is_not_cut_off_for_its_pings(pings):
    shortest = dict(server._OPTIONS)[_SHORTEST_OF_CLIENTS]
    assert 0 < shortest < pings["grpc.keepalive_time_ms"]
