"""xds-protos (upb) against envoy-data-plane (betterproto2): build and parse the same 1,000 clusters.

Run: `.venv/bin/python tests/bench/bench_protobuf.py`. Interleaved rounds, medians; each import is timed in
an interpreter of its own. The decision that rests on it is docs/decisions/0001-xds-protos.md.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import timedelta

CLUSTERS = 1000
ROUNDS = 5

IMPORTS = {
    "xds-protos": (
        "from envoy.service.discovery.v3 import discovery_pb2; "
        "from envoy.config.cluster.v3 import cluster_pb2"
    ),
    "envoy-data-plane": (
        "from envoy_data_plane.envoy.service.discovery import v3; "
        "from envoy_data_plane.envoy.config.cluster import v3 as cluster"
    ),
}


def upb_build() -> bytes:
    from envoy.config.cluster.v3 import cluster_pb2
    from envoy.service.discovery.v3 import discovery_pb2

    response = discovery_pb2.DiscoveryResponse(version_info="1", type_url="cds")
    for number in range(CLUSTERS):
        cluster = cluster_pb2.Cluster(name=f"service-{number}", type="EDS")
        cluster.connect_timeout.FromSeconds(5)
        cluster.eds_cluster_config.eds_config.ads.SetInParent()
        cluster.eds_cluster_config.eds_config.resource_api_version = 2
        response.resources.add().Pack(cluster)
    return bytes(response.SerializeToString())


def upb_parse(data: bytes) -> int:
    from envoy.config.cluster.v3 import cluster_pb2
    from envoy.service.discovery.v3 import discovery_pb2

    response = discovery_pb2.DiscoveryResponse.FromString(data)
    return sum(len(cluster_pb2.Cluster.FromString(item.value).name) for item in response.resources)


def edp_build() -> bytes:
    from envoy_data_plane.envoy.config.cluster import v3 as cluster
    from envoy_data_plane.envoy.config.core import v3 as core
    from envoy_data_plane.envoy.service.discovery import v3 as discovery
    from envoy_data_plane.google.protobuf import Any

    resources = []
    for number in range(CLUSTERS):
        source = core.ConfigSource(ads=core.AggregatedConfigSource(), resource_api_version=core.ApiVersion.V3)
        item = cluster.Cluster(
            name=f"service-{number}",
            type=cluster.ClusterDiscoveryType.EDS,
            connect_timeout=timedelta(seconds=5),
            eds_cluster_config=cluster.ClusterEdsClusterConfig(eds_config=source),
        )
        resources.append(
            Any(type_url="type.googleapis.com/envoy.config.cluster.v3.Cluster", value=bytes(item))
        )
    return bytes(discovery.DiscoveryResponse(version_info="1", type_url="cds", resources=resources))


def edp_parse(data: bytes) -> int:
    from envoy_data_plane.envoy.config.cluster import v3 as cluster
    from envoy_data_plane.envoy.service.discovery import v3 as discovery

    response = discovery.DiscoveryResponse.parse(data)
    return sum(len(cluster.Cluster.parse(item.value).name) for item in response.resources)


def milliseconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return (time.perf_counter() - start) * 1000


def main() -> None:
    upb, edp = upb_build(), edp_build()
    assert upb_parse(upb) == edp_parse(edp) == upb_parse(edp), "both must mean the same"
    times: dict[tuple[str, str], list[float]] = {}
    for _ in range(ROUNDS):
        for name, build, parse, data in (
            ("xds-protos", upb_build, upb_parse, upb),
            ("envoy-data-plane", edp_build, edp_parse, edp),
        ):
            times.setdefault((name, "build"), []).append(milliseconds(build))
            times.setdefault((name, "parse"), []).append(milliseconds(lambda p=parse, d=data: p(d)))
            command = [sys.executable, "-c", IMPORTS[name]]
            times.setdefault((name, "import"), []).append(
                milliseconds(lambda c=command: subprocess.run(c, check=True))
            )
    print(f"{CLUSTERS} clusters, {ROUNDS} interleaved rounds, median in ms ({len(upb)} and {len(edp)} bytes)")
    print(f"{'':8}{'xds-protos':>14}{'envoy-data-plane':>20}{'ratio':>10}")
    for what in ("import", "build", "parse"):
        one, other = (statistics.median(times[name, what]) for name in IMPORTS)
        print(f"{what:8}{one:14.1f}{other:20.1f}{other / one:9.0f}x")


if __name__ == "__main__":
    main()
