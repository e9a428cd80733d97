"""What other zones may ask an ingress for."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

import hub_world as world
from edge_world import EdgeWorld
from kumacp.vips.entry import Kind
from kumacp.xds.edge.exposure import MAX_SERVER_NAMES, asked, key_sets, relevant, server_name, unreachable
from kumacp.xds.model import Tags, freeze_tags

EMPTY = EdgeWorld().hub._view.mesh("default")

TAG_SETS = st.lists(
    st.dictionaries(st.sampled_from("abcd"), st.sampled_from("xyz"), max_size=4).map(freeze_tags),
    min_size=1,
    max_size=8,
)


def test_every_combination_of_up_to_three_tags_and_the_service_alone_first() -> None:
    tags = (("a", "1"), ("b", "2"), ("c", "3"), ("d", "4"))
    found = asked(EMPTY, "backend", [tags])
    assert found[0] == ()
    assert len(found) == 1 + 4 + 6 + 4
    assert (("b", "2"), ("d", "4")) in found


def test_the_protocol_is_nothing_that_one_asks_for() -> None:
    assert asked(EMPTY, "backend", [(("kuma.io/protocol", "http"),)]) == ((),)


def test_what_most_instances_share_comes_before_what_each_has_alone() -> None:
    tag_sets = [(("instance", f"{number:03}"), ("version", "v2")) for number in range(500)]
    found = asked(EMPTY, "backend", tag_sets)
    assert len(found) <= MAX_SERVER_NAMES
    assert (("version", "v2"),) in found


def test_virtual_addresses_have_theirs_however_many_others_there_are() -> None:
    tags = {f"t{number:02}": "x" for number in range(30)}
    wanted = {"t20": "x", "t21": "x", "t22": "x", "t29": "x"}
    entry = world.vip(Kind.FQDN, "b.corp", "240.0.0.1", {80: {"kuma.io/service": "backend", **wanted}})
    other = world.vip(
        Kind.FQDN, "c.corp", "240.0.0.2", {80: {"kuma.io/service": "backend", "t20": "no instance has it"}}
    )
    view = EdgeWorld(world.vips(entry, other)).hub._view.mesh("default")
    found = asked(view, "backend", [freeze_tags(tags)])
    assert found[:2] == ((), freeze_tags(wanted))
    assert len(found) == MAX_SERVER_NAMES + 1
    assert not any(("t20", "no instance has it") in tags for tags in found)


@given(TAG_SETS)
def test_everything_that_can_be_asked_for_is_there(tag_sets: list[Tags]) -> None:
    found = asked(EMPTY, "backend", tag_sets)
    assert len(set(found)) == len(found)
    for wanted in found:
        assert wanted == tuple(sorted(wanted))
        assert any(set(wanted) <= set(tags) for tags in tag_sets)


@given(TAG_SETS, st.data())
def test_leaving_out_what_all_have_chooses_the_same(tag_sets: list[Tags], data: st.DataObject) -> None:
    wanted = data.draw(st.sampled_from(asked(EMPTY, "backend", tag_sets)))
    chosen = [tags for tags in tag_sets if set(wanted) <= set(tags)]
    subset = relevant(wanted, tag_sets)
    assert [tags for tags in tag_sets if set(subset) <= set(tags)] == chosen
    assert all(any(tag not in tags for tags in tag_sets) for tag in subset)


def test_selectors_are_the_keys_of_all_subsets() -> None:
    subsets = [(), (("b", "1"),), (("b", "2"),), (("a", "1"), ("b", "1"))]
    assert key_sets(subsets) == (("a", "b"), ("b",))


def test_names_are_in_lower_case_and_fit_into_a_client_hello() -> None:
    assert server_name("m", "Web", (("Version", "V1"),)) == "web{version=v1,mesh=m}"
    assert server_name("m", "x" * 255) == ""
    assert server_name("m", "ü") == ""


def test_reasons_name_the_remedy() -> None:
    assert unreachable("default", "backend") == ""
    assert "choose a shorter kuma.io/service" in unreachable("default", "x" * 300)
    assert "kuma:readiness" not in unreachable("kuma", "backend")
    assert unreachable("kuma", "envoy:admin")
