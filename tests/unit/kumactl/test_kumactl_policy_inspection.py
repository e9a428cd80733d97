"""Policies of proxies and proxies of policies, as texts."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kumactl.policy_inspection import affected_proxies, affected_table, proxy_policies


def policy(name):
    return {"type": "x", "mesh": "default", "name": name}


def test_a_sidecar():
    items = [
        {"type": "dataplane", "matchedPolicies": {"TrafficTrace": [policy("trace")]}},
        {
            "type": "inbound",
            "name": "127.0.0.1:80:8080",
            "service": "web",
            "matchedPolicies": {"TrafficPermission": [policy("a"), policy("b")], "RateLimit": [policy("r")]},
        },
        {"type": "service", "name": "api", "service": "api", "matchedPolicies": {"Retry": [policy("again")]}},
    ]
    assert proxy_policies({"kind": "SidecarDataplane", "total": 3, "items": items}) == (
        "DATAPLANE:\n  TrafficTrace\n    trace\n\n"
        "INBOUND 127.0.0.1:80:8080(web):\n  RateLimit\n    r\n  TrafficPermission\n    a\n    b\n\n"
        "SERVICE api:\n  Retry\n    again\n"
    )


def test_a_gateway():
    destination = {"tags": {"kuma.io/service": "api"}, "policies": {"Timeout": policy("t-1")}}
    hosts = [{"hostName": "*", "routes": [{"route": "r-1", "destinations": [destination]}]}]
    document = {
        "kind": "MeshGatewayDataplane",
        "policies": {"TrafficLog": policy("all")},
        "listeners": [{"protocol": "HTTP", "port": 80, "hosts": hosts}],
    }
    assert proxy_policies(document) == (
        "MESHGATEWAY:\n  TrafficLog\n    all\n\n"
        "LISTENER (HTTP:80):\n  *:\n    ROUTE r-1:\n      SERVICE api:\n        Timeout\n          t-1\n"
    )


def test_affected_proxies():
    inbound = {"type": "inbound", "name": "127.0.0.1:80:8080", "service": "web"}
    route = {"route": "r-1", "destinations": [{"kuma.io/service": "api"}]}
    listener = {"protocol": "HTTP", "port": 80, "hosts": [{"hostName": "*", "routes": [route]}]}
    items = [
        {"dataplane": {"mesh": "default", "name": "web-1"}, "attachments": [inbound]},
        {"dataplane": {"mesh": "default", "name": "web-2"}, "attachments": [{"type": "dataplane"}]},
        {"gateway": {"mesh": "default", "name": "edge"}, "listeners": [listener]},
    ]
    assert affected_proxies(items) == (
        "Affected data plane proxies:\n\n"
        "  web-1:\n    inbound 127.0.0.1:80:8080(web)\n\n"
        "  web-2\n\n"
        "  edge:\n    listener (HTTP:80):\n      *:\n        r-1:\n          service api"
    )
    assert affected_proxies([]) == "Affected data plane proxies:\n"


def test_the_short_form():
    items = [{"type": "Dataplane", "mesh": "default", "name": "web-1"}]
    assert affected_table(items).text() == (
        "Type        Mesh      Name\nDataplane   default   web-1\n\nTotal: 1"
    )


JSON = st.recursive(
    st.none() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(
                [
                    "items",
                    "kind",
                    "type",
                    "matchedPolicies",
                    "dataplane",
                    "attachments",
                    "listeners",
                    "hosts",
                    "name",
                ]
            ),
            inner,
            max_size=3,
        )
    ),
    max_leaves=10,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from(["items", "kind", "policies", "listeners"]), JSON))
def test_no_answer_is_too_wrong(document):
    assert "\x1b" not in proxy_policies(document)
    assert affected_proxies([document]).startswith("Affected")
