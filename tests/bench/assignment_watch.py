"""The delta xDS client of one proxy, which tells of a service's assignment as it comes.

On stdin comes one line of JSON, `{"target": .., "ca": PATH, "token": .., "dataplane": {..}, "service": ..}`:
it registers as the Dataplane and subscribes to the assignment. On stdout goes a line for each one that it
acknowledges, `[WHEN, [WEIGHT, ..]]`: seconds since the epoch, and the weights of the endpoints. The last
line, when stdin is closed, is `null`.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import grpc
from delta_clients import METHOD, OPTIONS, SECRETS, first_request
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from envoy.service.discovery.v3.discovery_pb2 import DeltaDiscoveryRequest, DeltaDiscoveryResponse

from kumamesh.xds import ENDPOINT, LISTENER, SECRET


async def watch(spec: Mapping[str, Any]) -> None:
    credentials = grpc.ssl_channel_credentials(Path(spec["ca"]).read_bytes())
    channel = grpc.aio.secure_channel(spec["target"], credentials, OPTIONS)
    call = channel.stream_stream(METHOD)(metadata=(("authorization", spec["token"]),))
    for request in (
        first_request(spec["dataplane"]),
        DeltaDiscoveryRequest(type_url=LISTENER),
        DeltaDiscoveryRequest(type_url=ENDPOINT, resource_names_subscribe=[spec["service"]]),
        DeltaDiscoveryRequest(type_url=SECRET, resource_names_subscribe=SECRETS),
    ):
        await call.write(request.SerializeToString())
    while (data := await call.read()) is not grpc.aio.EOF:
        response = DeltaDiscoveryResponse.FromString(data)
        ack = DeltaDiscoveryRequest(type_url=response.type_url, response_nonce=response.nonce)
        await call.write(ack.SerializeToString())
        if response.type_url == ENDPOINT:
            for resource in response.resources:
                print(json.dumps([time.time(), weights(resource.resource.value)]), flush=True)
    sys.exit(f"the stream ended: {await call.details()}")


def weights(assignment: bytes) -> list[int]:
    return [
        endpoint.load_balancing_weight.value
        for locality in ClusterLoadAssignment.FromString(assignment).endpoints
        for endpoint in locality.lb_endpoints
    ]


async def until_hung_up() -> None:
    await asyncio.to_thread(sys.stdin.readline)
    print("null", flush=True)
    os._exit(0)


async def main() -> None:
    spec = json.loads(sys.stdin.readline())
    async with asyncio.TaskGroup() as group:
        group.create_task(watch(spec))
        group.create_task(until_hung_up())


if __name__ == "__main__":
    asyncio.run(main())
