"""How long the hub takes for one endpoint change, for connecting proxies, and how much memory a proxy costs.

Run: .venv/bin/python tests/bench/bench_hub.py [--proxies 1 100 1000] [--changes 100]

Every proxy of one mesh with mTLS has outbounds to all of 100 services, so that every one subscribes to every
endpoint change. Each number of proxies is measured in a process of its own. Memory is what the process grew
by, per proxy: Dataplanes, desired resources, certificates; with few proxies the shared units weigh most.
"""

from __future__ import annotations

import argparse
import gc
import multiprocessing
import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import psutil

from kumacp.policy.permission import inbound_rbac
from kumacp.store.api import Change, Operation
from kumacp.xds.build import build
from kumacp.xds.hub import Hub
from kumacp.xds.model import IdentitySecret, ProxyMetadata
from kumamesh.names import builtin_ca_cert_secret
from kumamesh.resource import Resource, ResourceKey
from kumamesh.resources.dataplane import Dataplane
from kumamesh.resources.mesh import Mesh
from kumamesh.resources.permission import TrafficPermission
from kumamesh.resources.secret import Secret

SERVICES = 100
PEM_BYTES = 1200
"""About the size of a workload certificate."""
METADATA = ProxyMetadata(
    features=frozenset({"feature-readiness-unix-socket", "feature-reuse-port"}),
    admin_port=9901,
    workdir="/run/kuma",
)


@dataclass(frozen=True, slots=True)
class Row:
    proxies: int
    connect_s: float
    bytes_per_proxy: int
    built: int
    endpoint_ms: tuple[float, float]
    protocol_ms: float
    permission_ms: float
    mesh_ms: float


def dataplane(number: int, *, ready: bool = True, protocol: str = "http") -> Resource:
    """Instance of one of the services, with an outbound to each of them."""
    tags = {"kuma.io/service": f"service-{number % SERVICES}", "kuma.io/protocol": protocol}
    inbound = {"port": 8080, "tags": tags, "state": "Ready" if ready else "NotReady"}
    outbound = [
        {"port": 20000 + service, "tags": {"kuma.io/service": f"service-{service}"}}
        for service in range(SERVICES)
    ]
    networking = {"address": f"10.0.{number >> 8}.{number & 255}", "inbound": [inbound], "outbound": outbound}
    spec = Dataplane.model_validate({"networking": networking})
    return Resource(ResourceKey("Dataplane", "default", f"dp-{number}"), spec)


def mesh(mode: str) -> Resource:
    mtls = {"enabledBackend": "ca-1", "backends": [{"name": "ca-1", "type": "builtin", "mode": mode}]}
    return Resource(ResourceKey("Mesh", "", "default"), Mesh.model_validate({"mtls": mtls}))


def permission(name: str, source: str, destination: str) -> Resource:
    spec = {
        "sources": [{"match": {"kuma.io/service": source}}],
        "destinations": [{"match": {"kuma.io/service": destination}}],
    }
    return Resource(ResourceKey("TrafficPermission", "default", name), TrafficPermission.model_validate(spec))


def base() -> Iterator[Resource]:
    yield mesh("STRICT")
    name = builtin_ca_cert_secret("default", "ca-1")
    yield Resource(ResourceKey("Secret", "default", name), Secret(data=b"c" * PEM_BYTES))
    yield permission("allow-all-default", "*", "*")


def put(resource: Resource) -> list[Change]:
    return [Change(Operation.UPDATE, resource.key, None, resource)]


def resident_bytes() -> int:
    gc.collect()
    return int(psutil.Process().memory_info().rss)


def timed_ms(hub: Hub, resource: Resource, touched: int) -> float:
    start = time.perf_counter()
    result = hub.apply(put(resource))
    elapsed = (time.perf_counter() - start) * 1000
    if len(result) != touched:
        raise SystemExit(f"{resource.key}: {len(result)} proxies touched instead of {touched}")
    return elapsed


def connect_all(hub: Hub, proxies: int) -> None:
    """As when they start one after the other: registered, connected, certified."""
    for resource in map(dataplane, range(proxies)):
        hub.apply(put(resource))
        hub.connect(resource.key, METADATA)
        for request in hub.identity_requests():
            text = resource.name.encode() * (PEM_BYTES // len(resource.name))
            hub.set_identity(request.proxy, IdentitySecret("default", text, text), request)


def measure(proxies: int, changes: int) -> Row:
    hub = Hub("zone-1", build, inbound_rbac)
    hub.load(base())
    start_bytes = resident_bytes()
    start = time.perf_counter()
    connect_all(hub, proxies)
    connect_s = time.perf_counter() - start
    bytes_per_proxy = (resident_bytes() - start_bytes) // proxies
    # One more instance of each service; they become unready one by one, then ready again.
    hub.apply([change for service in range(SERVICES) for change in put(dataplane(proxies + service))])
    endpoint = [
        timed_ms(hub, dataplane(proxies + number % SERVICES, ready=number // SERVICES % 2 == 1), proxies)
        for number in range(changes)
    ]
    return Row(
        proxies=proxies,
        connect_s=connect_s,
        bytes_per_proxy=bytes_per_proxy,
        built=hub.counters.built,
        endpoint_ms=(statistics.median(endpoint), max(endpoint)),
        protocol_ms=timed_ms(hub, dataplane(proxies, protocol="kafka"), proxies),
        permission_ms=timed_ms(hub, permission("allow-all-default", "service-1", "*"), proxies),
        mesh_ms=timed_ms(hub, mesh("PERMISSIVE"), proxies),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--proxies", type=int, nargs="+", default=[1, 100, 1000])
    parser.add_argument("--changes", type=int, default=100)
    options = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    print(f"{SERVICES} services, {SERVICES} outbounds per proxy, mTLS STRICT; hub only, no network\n")
    titles = (
        "proxies",
        "connect",
        "endpoint p50",
        "max",
        "protocol",
        "permission",
        "mesh mode",
        "built",
        "KB per proxy",
    )
    print("  ".join(f"{title:>12}" for title in titles))
    for proxies in options.proxies:
        with ProcessPoolExecutor(max_workers=1, mp_context=context) as pool:
            row = pool.submit(measure, proxies, options.changes).result()
        cells = (
            str(row.proxies),
            f"{row.connect_s:.2f} s",
            f"{row.endpoint_ms[0]:.2f} ms",
            f"{row.endpoint_ms[1]:.2f} ms",
            f"{row.protocol_ms:.1f} ms",
            f"{row.permission_ms:.1f} ms",
            f"{row.mesh_ms:.1f} ms",
            str(row.built),
            f"{row.bytes_per_proxy / 1024:.1f}",
        )
        print("  ".join(f"{cell:>12}" for cell in cells), flush=True)


if __name__ == "__main__":
    main()
