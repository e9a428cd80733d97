"""Which TrafficPermission decides for an inbound, and whom it lets in."""

from __future__ import annotations

import itertools

import pytest

from kumacp.policy.selector import matches, rank
from kumacp.policy.traffic_permission import TrafficPermissions
from kumacp.xds.model import UriMatch
from permissions import MESH, traffic_permission

TAGS = {"kuma.io/service": "backend", "version": "v1", "kuma.io/zone": "east"}
ANY = {"kuma.io/service": "*"}
BACKEND = {"kuma.io/service": "backend"}


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ({}, True),
        (BACKEND, True),
        (ANY, True),
        ({**BACKEND, "version": "v1"}, True),
        ({**ANY, "version": "*"}, True),
        ({"kuma.io/service": "web"}, False),
        ({**BACKEND, "version": "v2"}, False),
        ({**BACKEND, "team": "*"}, False),
    ],
)
def test_selector_wants_every_tag(selector: dict[str, str], expected: bool) -> None:
    assert matches(selector, TAGS) is expected


def test_more_tags_rank_higher_and_then_exact_values() -> None:
    ordered = [
        {},
        ANY,
        BACKEND,
        {**ANY, "version": "*"},
        {**ANY, "version": "v1"},
        {**BACKEND, "version": "v1"},
        {"kuma.io/service": "*", "version": "*", "kuma.io/zone": "*"},
    ]
    ranks = [rank(selector) for selector in ordered]
    assert ranks == sorted(set(ranks))


def winner(*permissions: object) -> set[str | None]:
    """Names of who wins, for every order in which they may come."""
    found = set()
    for order in itertools.permutations(permissions):
        won = TrafficPermissions(MESH, order).winner(TAGS)  # type: ignore[arg-type]  # tuple of objects
        found.add(won.name if won else None)
    return found


def test_most_specific_destination_wins_alone() -> None:
    everything = traffic_permission("everything", [ANY], created=9)
    backend = traffic_permission("backend", [BACKEND])
    version = traffic_permission("version", [{**ANY, "version": "v1"}])
    both = traffic_permission("both", [{**BACKEND, "version": "v1"}])
    foreign = traffic_permission("foreign", [{"kuma.io/service": "web", "version": "v1", "x": "y"}])
    assert winner(everything, foreign) == {"everything"}
    assert winner(everything, backend) == {"backend"}
    assert winner(everything, backend, version) == {"version"}
    assert winner(everything, backend, version, both) == {"both"}


def test_best_of_several_destinations_counts() -> None:
    two = traffic_permission("two", [ANY, {**BACKEND, "version": "v1"}])
    assert winner(two, traffic_permission("one", [BACKEND], created=9)) == {"two"}


def test_newer_permission_wins_a_tie_and_then_the_name() -> None:
    old, new = traffic_permission("a-old", [BACKEND]), traffic_permission("z-new", [BACKEND], created=1)
    assert winner(old, new) == {"z-new"}
    assert winner(old, traffic_permission("b-old", [BACKEND])) == {"a-old"}


def test_no_destination_no_winner() -> None:
    assert winner(traffic_permission("foreign", [{"kuma.io/service": "web"}])) == {None}
    assert winner() == {None}


@pytest.mark.parametrize(
    ("sources", "principals"),
    [
        ([{"kuma.io/service": "web"}], ((UriMatch("spiffe://default/web"),),)),
        (
            [{"kuma.io/service": "web", "version": "v1"}, {"kuma.io/service": "api"}],
            (
                (UriMatch("spiffe://default/web"), UriMatch("kuma://version/v1")),
                (UriMatch("spiffe://default/api"),),
            ),
        ),
        ([{"kuma.io/service": "*", "version": "v1"}], ((UriMatch("kuma://version/v1"),),)),
        ([{"kuma.io/service": "*"}], ((),)),
        ([{"kuma.io/service": "web"}, {"kuma.io/service": "*"}], ((),)),
        ([{"kuma.io/service": "web"}, {"kuma.io/service": "web"}], ((UriMatch("spiffe://default/web"),),)),
    ],
)
def test_sources_become_principals(
    sources: list[dict[str, str]], principals: tuple[tuple[UriMatch, ...], ...]
) -> None:
    permission = traffic_permission("web-to-backend", [BACKEND], sources)
    policy = TrafficPermissions(MESH, [permission]).policy(permission)
    assert (policy.name, policy.principals) == ("web-to-backend", principals)
