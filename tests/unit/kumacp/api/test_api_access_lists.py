"""Who has which right: Kuma's defaults, and lists of one's own (contract 7.5)."""

import dataclasses

import pytest

from kumacp.api.access import Right, allows, require
from kumacp.api.auth import ADMIN, ANONYMOUS, authenticated
from kumacp.api.problem import Problem
from kumacp.settings import CpSettings
from kumamesh.settings import resolve

ANN = authenticated("ann", ("team-a",))
BY_GROUP = authenticated("bob", ("mesh-system:admin",))
BY_NAME = authenticated("mesh-system:admin", ())
FOR_ADMINS = {
    Right.ADMIN_RESOURCES,
    Right.GENERATE_DP_TOKEN,
    Right.GENERATE_USER_TOKEN,
    Right.GENERATE_ZONE_TOKEN,
}


@pytest.mark.parametrize("right", Right)
def test_the_defaults_are_kumas(right):
    settings = CpSettings()
    for admin in (ADMIN, BY_GROUP, BY_NAME):
        assert allows(admin, right, settings)
    for other in (ANONYMOUS, ANN):
        assert allows(other, right, settings) is (right not in FOR_ADMINS)


@pytest.mark.parametrize("right", Right)
def test_every_right_has_lists_of_its_own(right):
    prefix = f"KUMA_ACCESS_STATIC_{right.name}"
    by_user = resolve(
        CpSettings, environ={f"{prefix}_USERS": "ann,carl", f"{prefix}_GROUPS": "none"}
    ).settings
    by_group = resolve(CpSettings, environ={f"{prefix}_GROUPS": "team-a"}).settings
    for settings in (by_user, by_group):
        assert allows(ANN, right, settings)
        assert not allows(ANONYMOUS, right, settings)
        for other in set(Right) - {right}:
            assert allows(ANN, other, settings) is (other not in FOR_ADMINS)


def test_the_file_has_a_key_for_every_list():
    document = {"access": {"static": {"viewStats": {"users": ["ann"], "groups": []}}}}
    settings = resolve(CpSettings, document=document).settings
    assert allows(ANN, Right.VIEW_STATS, settings)
    assert not allows(authenticated("bob", ()), Right.VIEW_STATS, settings)


def test_a_refusal_names_the_user_and_what_was_wanted():
    settings = dataclasses.replace(CpSettings(), view_stats_groups=())
    require(ADMIN, Right.ADMIN_RESOURCES, settings)
    for what, told in (("", "view stats"), ("see that", "see that")):
        with pytest.raises(Problem) as refused:
            require(ANN, Right.VIEW_STATS, settings, what)
        assert (refused.value.status, refused.value.title) == (403, "Access Denied")
        assert refused.value.detail == f'user "ann/team-a,mesh-system:authenticated" cannot {told}'
