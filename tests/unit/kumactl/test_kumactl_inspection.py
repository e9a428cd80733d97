"""Tables of `kumactl inspect` and `kumactl get`."""

from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from kumactl.inspection import (
    DATAPLANE_COLUMNS,
    dataplane_status,
    dataplanes_table,
    zone_proxies_table,
    zones_table,
)
from kumactl.mesh_inspection import meshes_table, services_table
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
    (row,) = cells(dataplanes_table([full], NOW).text())
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
    (row,) = cells(dataplanes_table([{"mesh": "default", "name": "new"}], NOW).text())
    assert (row["STATUS"], row["LAST CONNECTED AGO"], row["TOTAL UPDATES"]) == ("Offline", "never", "0")
    assert (row["CERT EXPIRATION"], row["CERT BACKEND"], row["ENVOY VERSION"]) == ("-", "-", "unknown")


def test_services():
    table = services_table(
        [
            {"name": "backend", "status": "partially_degraded", "dataplanes": {"online": 1, "total": 2}},
            {"name": "web", "status": "online", "dataplanes": {"online": 1, "total": 1}},
            {"name": "orders", "status": "offline", "dataplanes": {"total": 5}},
            {"name": "ext", "status": "not_available"},
        ]
    )
    assert table.text().splitlines() == [
        "SERVICE   STATUS               DATAPLANES",
        "backend   Partially degraded   1/2",
        "web       Online               1/1",
        "orders    Offline              0/5",
        "ext       Not available        0/0",
    ]


def test_meshes_show_kumas_columns_and_the_newer_policies_that_there_are():
    table = meshes_table(
        [
            {"name": "a", "dataplanes": {"online": 1, "total": 2}, "services": {"total": 1}},
            {"name": "b", "policies": {"TrafficPermission": {"total": 3}, "MeshTimeout": {"total": 4}}},
        ]
    )
    assert table.headers == (
        *("MESH", "DATAPLANES", "TRAFFIC PERMISSIONS", "TRAFFIC ROUTES", "CIRCUIT BREAKERS"),
        *("HEALTH CHECKS", "FAULT INJECTIONS", "EXTERNAL SERVICES", "TRAFFIC TRACES", "TRAFFIC LOGS"),
        *("PROXY TEMPLATES", "VIRTUAL OUTBOUNDS", "MESH TIMEOUTS"),
    )
    assert list(table.rows) == [("a", "1/2", *["0"] * 11), ("b", "0/0", "3", *["0"] * 9, "4")]


def test_zones():
    subscription = {
        "connectTime": "2026-05-04T10:00:00Z",
        "status": {
            "lastUpdateTime": "2026-05-04T11:58:00Z",
            "total": {"responsesSent": "42", "responsesRejected": "13"},
        },
        "version": {"kumaCp": {"version": "2.13.0"}},
        "config": '{"store": {"type": "postgres"}}',
    }
    insight = {"subscriptions": [subscription]}
    table = zones_table(
        [
            {"name": "zone-1", "zone": {"enabled": True}, "zoneInsight": insight},
            {"name": "zone-2", "zone": {"enabled": False}, "zoneInsight": insight},
            {"name": "zone-3", "zone": {}, "zoneInsight": {"subscriptions": [GONE | {"config": "{"}]}},
            {"name": "zone-4"},
        ],
        NOW,
    )
    assert list(table.headers) == [
        *("NAME", "STATUS", "LAST CONNECTED AGO", "LAST UPDATED AGO", "TOTAL UPDATES", "TOTAL ERRORS"),
        *("ZONE-CP VERSION", "BACKEND"),
    ]
    assert list(table.rows) == [
        ("zone-1", "Online", "2h", "2m", "42", "13", "2.13.0", "postgres"),
        ("zone-2", "Offline", "2h", "2m", "42", "13", "2.13.0", "postgres"),
        ("zone-3", "Offline", "2h", "never", "0", "0", "-", "-"),
        ("zone-4", "Offline", "never", "never", "0", "0", "-", "-"),
    ]


def test_zone_proxies():
    version = {"kumaDp": {"version": "2.13.0"}, "envoy": {"version": "1.40.0"}}
    up = {"name": "i-1", "zoneIngressInsight": {"subscriptions": [CONNECTED | {"version": version}]}}
    table = zone_proxies_table([up, {"name": "i-2"}], "zoneIngressInsight", NOW)
    assert list(table.headers)[-2:] == ["KUMA-DP VERSION", "ENVOY VERSION"]
    assert list(table.rows) == [
        ("i-1", "Online", "2h", "never", "0", "0", "2.13.0", "1.40.0"),
        ("i-2", "Offline", "never", "never", "0", "0", "unknown", "unknown"),
    ]


NONSENSE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
FIELDS = st.sampled_from(
    [
        *("name", "mesh", "zone", "dataplane", "dataplaneInsight", "zoneInsight", "networking", "inbound"),
        *("gateway", "tags", "subscriptions", "status", "total", "responsesSent", "connectTime", "version"),
        *("mTLS", "supportedBackends", "policies", "dataplanes", "config", "mtls", "backends", "routing"),
        *("modificationTime", "creationTime", "labels", "state", "health", "dependencies", "kumaDp"),
    ]
)
WRONG = st.recursive(
    NONSENSE,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(FIELDS, inner, max_size=4),
    max_leaves=12,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.dictionaries(FIELDS, WRONG), max_size=2))
@example([{"policies": {"Two\nLines": {"total": 1}}}])
def test_no_answer_is_too_wrong_for_a_table(items):
    tables = [
        *(dataplanes_table(items, NOW), zones_table(items, NOW), meshes_table(items), services_table(items)),
        zone_proxies_table(items, "zoneIngressInsight", NOW),
        *(resource_table(type_, items, "", NOW) for type_ in TYPES.values()),
    ]
    for table in tables:
        assert table.text().count("\n") == len(items)


CHANGED = {"creationTime": "2025-05-04T11:57:00Z", "modificationTime": "2026-05-04T11:57:00Z"}


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
                "logging": {"backends": [{"name": "f", "type": "file"}, {"name": "t", "type": "tcp"}]},
            },
            [
                "NAME   mTLS   METRICS   LOGGING         TRACING   LOCALITY   ZONEEGRESS   AGE",
                "m      off    off       file/f, tcp/t   off       off        on           3m",
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
            "Dataplane",
            {
                "mesh": "default",
                "name": "w",
                "networking": {"address": "10.0.0.1", "advertisedAddress": "1.2.3.4"},
            },
            ["MESH      NAME   TAGS   ADDRESS   AGE", "default   w             1.2.3.4   3m"],
        ),
        (
            "ExternalService",
            {
                "mesh": "default",
                "name": "e",
                "tags": {"kuma.io/service": "httpbin", "kuma.io/protocol": "http"},
                "networking": {"address": "httpbin.example:443"},
            },
            [
                "MESH      NAME   TAGS                                            ADDRESS               AGE",
                "default   e      kuma.io/protocol=http kuma.io/service=httpbin   httpbin.example:443   3m",
            ],
        ),
        (
            "ZoneIngress",
            {"name": "i", "zone": "z1", "networking": {"address": "10.0.0.1", "port": 10001}},
            ["NAME   AGE", "i      3m"],
        ),
        (
            "MeshTrafficPermission",
            {"mesh": "default", "name": "p", "spec": {"targetRef": {"kind": "Dataplane", "name": "w"}}},
            [
                "MESH      NAME   AGE",
                "default   p      3m",
            ],
        ),
        ("Zone", {"name": "zone-1"}, ["NAME     AGE", "zone-1   3m"]),
        ("Secret", {"mesh": "default", "name": "s"}, ["MESH      NAME   AGE", "default   s      3m"]),
    ],
)
def test_resources(type_, item, lines):
    assert resource_table(TYPES[type_], [item | CHANGED], "", NOW).text().splitlines() == lines


def test_where_to_go_on_is_told():
    table = resource_table(TYPES["Zone"], [], "100", NOW)
    assert table.text().splitlines()[-2:] == [
        "",
        "Rerun command with --offset=100 argument to retrieve more resources",
    ]
