"""Filters and pages of lists (contract 9.2; kuma-cp 8.1)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kumacp.api.listing import Page, page_document, parse_filters, parse_page
from kumacp.api.problem import Problem
from kumamesh.resource import Resource, ResourceKey
from kumamesh.resources.rest import from_rest


def dataplane(name, *tags, gateway=None, labels=None):
    networking = {"address": "10.0.0.1"}
    if gateway:
        networking["gateway"] = {"type": gateway, "tags": {"kuma.io/service": name}}
    else:
        networking["inbound"] = [
            {"port": 80 + number, "tags": {"kuma.io/service": name, **each}}
            for number, each in enumerate(tags)
        ]
    return from_rest(
        {
            "type": "Dataplane",
            "mesh": "default",
            "name": name,
            "labels": labels or {},
            "networking": networking,
        }
    )


WEB = dataplane("web-1", {"version": "1", "team": "a"}, {"version": "2"}, labels={"env": "prod"})
EDGE = dataplane("edge", gateway="BUILTIN")
PROXY = dataplane("proxy", gateway="DELEGATED")
ALL = (WEB, EDGE, PROXY)


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ([], ["web-1", "edge", "proxy"]),
        ([("name", "e")], ["web-1", "edge"]),
        ([("name", "nothing")], []),
        ([("filter[labels.env]", "prod")], ["web-1"]),
        ([("filter[labels.env]", "test")], []),
        ([("tag", "version:1")], ["web-1"]),
        ([("tag", "version:1"), ("tag", "team:a")], ["web-1"]),
        ([("tag", "version:2"), ("tag", "team:a")], []),
        ([("tag", "kuma.io/service:edge")], ["edge"]),
        ([("gateway", "true")], ["edge", "proxy"]),
        ([("gateway", "false")], ["web-1"]),
        ([("gateway", "builtin")], ["edge"]),
        ([("gateway", "delegated")], ["proxy"]),
        ([("gateway", "DELEGATED")], ["proxy"]),
        ([("gateway", "")], ["web-1", "edge", "proxy"]),
        ([("ingress", "true"), ("size", "1")], ["web-1", "edge", "proxy"]),
    ],
)
def test_filters(query, names):
    filters = parse_filters(query, dataplanes=True)
    assert [resource.name for resource in ALL if filters.accept(resource)] == names


def test_tags_filter_data_planes_only():
    secret = Resource(ResourceKey("Secret", "default", "s"), None)
    assert parse_filters([("tag", "a:b"), ("gateway", "true")], dataplanes=False).accept(secret)


@pytest.mark.parametrize(
    "query",
    [[("tag", "version")], [("tag", ":1")], [("tag", "a:")], [("gateway", "yes")]],
)
def test_filters_that_say_nothing_are_refused(query):
    with pytest.raises(Problem) as refused:
        parse_filters(query, dataplanes=True)
    assert refused.value.status == 400


def test_pages_have_defaults():
    assert parse_page([]) == Page(100, 0)
    assert parse_page([("size", "1000"), ("offset", "30")]) == Page(1000, 30)


@pytest.mark.parametrize("size", ["0", "1001", "-1", "ten", "", "1e2", "٣", "9" * 5000])
def test_page_sizes_out_of_range_are_refused(size):
    with pytest.raises(Problem, match=r"Invalid page size of .*\. Maximum page size is 1000"):
        parse_page([("size", size)])


@pytest.mark.parametrize("offset", ["-1", "x", ""])
def test_offsets_that_are_none_are_refused(offset):
    with pytest.raises(Problem, match="Invalid offset"):
        parse_page([("offset", offset)])


def test_next_keeps_the_filters():
    query = [("name", "a&b"), ("size", "2"), ("offset", "2")]
    document = page_document([1, 2, 3, 4, 5], Page(2, 2), str, url="http://cp:5681/zones", query=query)
    assert document == {
        "total": 5,
        "items": ["3", "4"],
        "next": "http://cp:5681/zones?name=a%26b&offset=4&size=2",
    }


def test_the_last_page_has_no_next():
    assert page_document([1, 2], Page(2, 0), str, url="", query=[])["next"] is None
    assert page_document([1, 2], Page(2, 9), str, url="", query=[]) == {"total": 2, "items": [], "next": None}


@given(st.integers(0, 40), st.integers(1, 12))
def test_following_pages_visits_everything_once(total, size):
    seen, offset = [], 0
    while True:
        document = page_document(range(total), Page(size, offset), int, url="u", query=[])
        seen += document["items"]
        if document["next"] is None:
            break
        offset += size
    assert seen == list(range(total))
