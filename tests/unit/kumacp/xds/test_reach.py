"""Ways to other zones become endpoints, one for each address and port."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

import remote_model
from kumacp.xds.model import Endpoint, Tags
from kumacp.xds.reach import Way, outbound_endpoints, remote_endpoints, ways
from kumacp.xds.remote import RemoteInstances

V1, V2 = (("version", "v1"),), (("version", "v2"),)
EGRESSES = (Endpoint("10.0.9.1", 10002, edge=True), Endpoint("10.0.9.2", 10002, edge=True))


def remote(
    instances: int, zone: str = "west", address: str = "192.0.2.1", tags: Tags = (), port: int = 10001
) -> RemoteInstances:
    return RemoteInstances(zone, address, port, tags, instances)


def local(number: int) -> tuple[Endpoint, ...]:
    return tuple(Endpoint(f"10.0.0.{host}", 8080, zone="east") for host in range(1, number + 1))


def weighed(endpoints: tuple[Endpoint, ...]) -> list[tuple[str, int]]:
    return [(endpoint.zone, endpoint.weight) for endpoint in endpoints]


def reached(own: int, *others: RemoteInstances) -> list[tuple[str, int]]:
    return weighed(outbound_endpoints(local(own), ways(others), None, locality_aware=False))


def test_one_zone_behind_one_ingress() -> None:
    assert reached(2, remote(3)) == [("east", 1), ("east", 1), ("west", 3)]


def test_one_zone_behind_two_ingresses() -> None:
    expected = [("east", 2), ("east", 2), ("west", 3), ("west", 3)]
    assert reached(2, remote(3), remote(3, address="192.0.2.2")) == expected


def test_two_zones_do_not_make_this_one_heavier() -> None:
    expected = [("east", 1), ("east", 1), ("north", 3), ("west", 3)]
    assert reached(2, remote(3, "north", "192.0.2.7"), remote(3)) == expected


def test_zones_with_different_numbers_of_ingresses() -> None:
    found = reached(2, remote(3, "north", "192.0.2.7"), remote(3), remote(3, address="192.0.2.2"))
    assert found == [("east", 2), ("east", 2), ("north", 6), ("west", 3), ("west", 3)]


def test_an_endpoint_stands_for_all_tag_sets_and_has_what_they_have_in_common() -> None:
    zone = ("kuma.io/zone", "west")
    found = ways([remote(1, tags=(zone, *V1)), remote(2, tags=(zone, *V2))])
    assert found == (Way("west", "192.0.2.1", 10001, (zone,), 3),)


def test_only_instances_with_the_wanted_tags_count() -> None:
    many = [remote(1, tags=V1), remote(2, tags=V2), remote(4, address="192.0.2.2", tags=V2)]
    assert ways(many, V2) == (
        Way("west", "192.0.2.1", 10001, V2, 2),
        Way("west", "192.0.2.2", 10001, V2, 4),
    )
    assert ways(many, (("version", "v3"),)) == ()


def test_an_address_that_two_zones_claim_is_of_the_first() -> None:
    assert ways([remote(1, "north"), remote(5, "west")]) == (Way("north", "192.0.2.1", 10001, (), 1),)


def test_a_zone_has_as_many_instances_as_its_best_informed_ingress_says() -> None:
    assert reached(1, remote(4), remote(2, address="192.0.2.2")) == [("east", 2), ("west", 4), ("west", 4)]


def test_nothing_elsewhere_leaves_this_zone_as_it_is() -> None:
    own = local(2)
    assert outbound_endpoints(own, (), EGRESSES, locality_aware=True) is own


def test_egresses_share_what_is_elsewhere() -> None:
    found = ways([remote(3, tags=V1), remote(2, "north", "192.0.2.7", tags=V1)])
    endpoints = outbound_endpoints(local(2), found, EGRESSES, locality_aware=False)
    assert weighed(endpoints) == [("east", 2), ("east", 2), ("", 5), ("", 5)]
    assert [one.address for one in endpoints[2:]] == ["10.0.9.1", "10.0.9.2"]
    assert {one.tags for one in endpoints[2:]} == {V1}


def test_without_an_egress_there_is_no_way_that_leads_through_one() -> None:
    own = local(2)
    assert outbound_endpoints(own, ways([remote(3)]), (), locality_aware=False) is own


def test_locality_aware_the_rest_of_the_world_is_second_choice() -> None:
    for egresses in (None, EGRESSES):
        found = outbound_endpoints(local(1), ways([remote(3)]), egresses, locality_aware=True)
        assert [one.priority for one in found] == [0, *[1] * (len(found) - 1)]
        assert [one.edge for one in found] == [False, *[True] * (len(found) - 1)]


def test_an_egress_splits_by_instances_itself() -> None:
    found = remote_endpoints(
        ways([remote(1, "north", "192.0.2.7"), remote(3), remote(3, address="192.0.2.2")])
    )
    assert weighed(found) == [("north", 2), ("west", 3), ("west", 3)]


ZONES = st.sampled_from(["north", "south", "west"])
INSTANCES = st.builds(
    remote,
    st.integers(1, 9),
    ZONES,
    address=st.sampled_from([f"192.0.2.{host}" for host in range(1, 8)]),
    tags=st.sampled_from([(), V1, V2, (("a", "b"), *V1)]),
)


def _as_known(many: list[RemoteInstances]) -> tuple[RemoteInstances, ...]:
    """Sorted, and each tag set of a way once, as RemoteServices has them."""
    once = {(one.zone, one.address, one.port, one.tags): one for one in many}
    return tuple(once[key] for key in sorted(once))


@given(st.integers(0, 5), st.lists(INSTANCES, max_size=12), st.sampled_from([(), V1]), st.booleans())
def test_endpoints_are_those_of_the_model(
    own: int, many: list[RemoteInstances], wanted: Tags, near_first: bool
) -> None:
    known = _as_known(many)
    matching = [one for one in known if set(wanted) <= set(one.tags)]
    for egresses in (None, (), EGRESSES[:1], EGRESSES):
        found = outbound_endpoints(local(own), ways(known, wanted), egresses, locality_aware=near_first)
        assert found == remote_model.endpoints(local(own), matching, egresses, near_first=near_first)


@given(
    st.integers(0, 9),
    st.dictionaries(
        ZONES,
        st.tuples(
            st.dictionaries(st.sampled_from([(), V1, V2]), st.integers(1, 99), min_size=1), st.integers(1, 5)
        ),
    ),
    st.integers(0, 4),
)
def test_traffic_is_proportional_to_instances(
    own: int, zones: dict[str, tuple[dict[Tags, int], int]], egresses: int
) -> None:
    """`zones`: what each has by tags, and the number of its ingresses, which all say the same."""
    many = [
        remote(number, zone, f"192.0.{index}.{way}", tags)
        for index, (zone, (has, count)) in enumerate(sorted(zones.items()))
        for tags, number in has.items()
        for way in range(count)
    ]
    found = ways(_as_known(many))
    through = tuple(Endpoint(f"10.0.9.{index}", 10002, edge=True) for index in range(egresses)) or None
    sidecar = outbound_endpoints(local(own), found, through, locality_aware=False)
    instances = {"east": own, **{zone: sum(has.values()) for zone, (has, _) in zones.items()}}
    assert len({(one.address, one.port) for one in sidecar}) == len(sidecar)
    assert _shares(sidecar, remote_endpoints(found)) == {
        zone: Fraction(number, sum(instances.values())) for zone, number in instances.items() if number
    }


def _shares(sidecar: tuple[Endpoint, ...], egress: tuple[Endpoint, ...]) -> dict[str, Fraction]:
    """Of each zone; an egress passes on what it gets."""
    total = sum(one.weight for one in sidecar)
    beyond = sum(one.weight for one in egress)
    shares: dict[str, Fraction] = {}
    for one in sidecar:
        behind = [one] if one.zone else egress
        for other in behind:
            part = Fraction(one.weight, total) * (1 if one.zone else Fraction(other.weight, beyond))
            shares[other.zone] = shares.get(other.zone, Fraction(0)) + part
    return shares
