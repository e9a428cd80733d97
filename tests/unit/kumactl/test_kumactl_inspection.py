"""Tables of `kumactl inspect` and `kumactl get`."""

from datetime import UTC, datetime

import pytest

from kumactl.inspection import (
    DATAPLANE_COLUMNS,
    dataplane_status,
    dataplanes_table,
    meshes_table,
    services_table,
)
from kumactl.resource_tables import resource_table
from kumamesh.resources.registry import TYPES

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
CONNECTED = {"connectTime": "2026-05-04T10:00:00Z"}
GONE = CONNECTED | {"disconnectTime": "2026-05-04T11:00:00Z"}


def overview(inbound=(), subscriptions=(), gateway=None):
    networking = {"inbound": list(inbound)} | ({"gateway": gateway} if gateway else {})
    return {
        "type": "DataplaneOverview",
        "mesh": "default",
        "name": "web-1",
        "dataplane": {"networking": networking},
        "dataplaneInsight": {"subscriptions": list(subscriptions)},
    }


def inbound(**fields):
    return {"port": 80, "tags": {"kuma.io/service": "web"}, **fields}


@pytest.mark.parametrize(
    ("given", "status"),
    [
        (overview([inbound()], [CONNECTED]), "Online"),
        (overview([inbound()], [GONE, CONNECTED]), "Online"),
        (overview([inbound()], [GONE]), "Offline"),
        (overview([inbound()]), "Offline"),
        (overview([inbound(state="NotReady")], [CONNECTED]), "Offline"),
        (overview([inbound(health={})], [CONNECTED]), "Offline"),
        (overview([inbound(health={"ready": True})], [CONNECTED]), "Online"),
        (overview([inbound(), inbound(state="NotReady")], [CONNECTED]), "Partially degraded"),
        (overview([inbound(), inbound(state="Ignored")], [CONNECTED]), "Online"),
        (overview([inbound(state="Ignored")], [CONNECTED]), "Online"),
        (overview(gateway={"tags": {"kuma.io/service": "edge"}}, subscriptions=[CONNECTED]), "Online"),
        ({"name": "bare"}, "Offline"),
    ],
)
def test_status(given, status):
    assert dataplane_status(given)[0] == status


def test_what_is_not_ready_is_noted():
    _, notes = dataplane_status(overview([inbound(), inbound(port=81, state="NotReady")], [CONNECTED]))
    assert notes == ("inbound[port=81,svc=web] is not ready",)


def cells(text):
    """Rows as dictionaries, cut where the headers start."""
    header, *lines = text.splitlines()
    starts = [header.index(name) for name in DATAPLANE_COLUMNS if f" {name}  " in f"  {header}   "]
    ends = [*starts[1:], None]
    return [
        {header[a:b].strip(): line[a:b].strip() for a, b in zip(starts, ends, strict=True)} for line in lines
    ]


def test_a_data_plane_with_everything():
    total = {"responsesSent": "30", "responsesRejected": "3"}
    last = CONNECTED | {
        "status": {"lastUpdateTime": "2026-05-04T11:58:00Z", "total": total},
        "version": {
            "kumaDp": {"version": "2.13.0"},
            "envoy": {"version": "1.40.0"},
            "dependencies": {"b": "2", "a": "1"},
        },
    }
    earlier = GONE | {"status": {"total": {"responsesSent": "5"}}}
    full = overview([inbound(), {"port": 81, "tags": {"kuma.io/service": "api", "v": "1"}}], [earlier, last])
    full["dataplaneInsight"]["mTLS"] = {
        "lastCertificateRegeneration": "2026-05-04T09:00:00Z",
        "certificateExpirationTime": "2026-05-05T09:00:00Z",
        "certificateRegenerations": 2,
        "issuedBackend": "ca-1",
        "supportedBackends": ["ca-1", "ca-2"],
    }
    (row,) = cells(dataplanes_table([full], NOW))
    assert row == {
        "MESH": "default",
        "NAME": "web-1",
        "TAGS": "kuma.io/service=api,web v=1",
        "STATUS": "Online",
        "LAST CONNECTED AGO": "2h",
        "LAST UPDATED AGO": "2m",
        "TOTAL UPDATES": "35",
        "TOTAL ERRORS": "3",
        "CERT REGENERATED AGO": "3h",
        "CERT EXPIRATION": "2026-05-05 09:00:00",
        "CERT REGENERATIONS": "2",
        "CERT BACKEND": "ca-1",
        "SUPPORTED CERT BACKENDS": "ca-1,ca-2",
        "KUMA-DP VERSION": "2.13.0",
        "ENVOY VERSION": "1.40.0",
        "DEPENDENCIES VERSIONS": "a: 1, b: 2",
        "NOTES": "-",
    }


def test_a_data_plane_that_never_connected():
    (row,) = cells(dataplanes_table([{"mesh": "default", "name": "new"}], NOW))
    assert (row["STATUS"], row["LAST CONNECTED AGO"], row["TOTAL UPDATES"]) == ("Offline", "never", "0")
    assert (row["CERT EXPIRATION"], row["CERT BACKEND"], row["ENVOY VERSION"]) == ("-", "-", "unknown")


def test_services():
    text = services_table(
        [
            {"name": "backend", "status": "partially_degraded", "dataplanes": {"online": 1, "total": 2}},
            {"name": "web", "status": "online", "dataplanes": {"online": 1, "total": 1}},
            {"name": "orders", "status": "offline", "dataplanes": {"total": 5}},
            {"name": "ext", "status": "not_available"},
        ]
    )
    assert text.splitlines() == [
        "SERVICE   STATUS               DATAPLANES",
        "backend   Partially degraded   1/2",
        "web       Online               1/1",
        "orders    Offline              0/5",
        "ext       Not available        0/0",
    ]


def test_meshes_show_the_policies_that_there_are():
    text = meshes_table(
        [
            {"name": "a", "dataplanes": {"online": 1, "total": 2}, "services": {"total": 1}},
            {"name": "b", "policies": {"TrafficPermission": {"total": 3}}},
        ]
    )
    assert text.splitlines() == [
        "MESH   DATAPLANES   SERVICES   TRAFFIC PERMISSIONS",
        "a      1/2          1          0",
        "b      0/0          0          3",
    ]


CREATED = {"creationTime": "2026-05-04T11:57:00Z"}


@pytest.mark.parametrize(
    ("type_", "item", "lines"),
    [
        (
            "Mesh",
            {
                "name": "default",
                "mtls": {"enabledBackend": "ca-1", "backends": [{"name": "ca-1", "type": "builtin"}]},
            },
            [
                "NAME      mTLS           METRICS   LOGGING   TRACING   LOCALITY   ZONEEGRESS   AGE",
                "default   builtin/ca-1   off       off       off       off        off          3m",
            ],
        ),
        (
            "Mesh",
            {
                "name": "m",
                "mtls": {"backends": [{"name": "ca-1", "type": "builtin"}]},
                "routing": {"zoneEgress": True},
            },
            [
                "NAME   mTLS   METRICS   LOGGING   TRACING   LOCALITY   ZONEEGRESS   AGE",
                "m      off    off       off       off       off        on           3m",
            ],
        ),
        (
            "Dataplane",
            {"mesh": "default", "name": "w", "networking": {"address": "10.0.0.1", "inbound": [inbound()]}},
            [
                "MESH      NAME   TAGS                  ADDRESS    AGE",
                "default   w      kuma.io/service=web   10.0.0.1   3m",
            ],
        ),
        (
            "ZoneIngress",
            {"name": "i", "zone": "z1", "networking": {"address": "10.0.0.1", "port": 10001}},
            ["NAME   ZONE   ADDRESS    PORT    AGE", "i      z1     10.0.0.1   10001   3m"],
        ),
        (
            "MeshTrafficPermission",
            {"mesh": "default", "name": "p", "spec": {"targetRef": {"kind": "Dataplane", "name": "w"}}},
            [
                "MESH      NAME   TARGETREF KIND   TARGETREF NAME   AGE",
                "default   p      Dataplane        w                3m",
            ],
        ),
        ("Zone", {"name": "zone-1"}, ["NAME     AGE", "zone-1   3m"]),
        ("Secret", {"mesh": "default", "name": "s"}, ["MESH      NAME   AGE", "default   s      3m"]),
    ],
)
def test_resources(type_, item, lines):
    assert resource_table(TYPES[type_], [item | CREATED], None, NOW).splitlines() == lines


def test_where_to_go_on_is_told():
    text = resource_table(TYPES["Zone"], [], "http://cp:5681/zones?name=a&offset=100&size=100", NOW)
    assert text.splitlines()[-2:] == [
        "",
        "Rerun command with --offset=100 argument to retrieve more resources",
    ]
