"""What an export has in it."""

import pytest

from kumactl import export_plan
from kumactl.export_plan import ALL, FEDERATION, FEDERATION_WITH_POLICIES, NO_DATAPLANES, PROFILES
from kumamesh.resources.registry import TYPES

SECRETS = {"Secret", "GlobalSecret"}


def names(profile, *, include_admin=False):
    return [type_.name for type_ in export_plan.exported_types(profile, include_admin=include_admin)]


def test_a_federation_has_what_a_global_control_plane_hands_to_zones():
    assert set(names(FEDERATION)) == {
        "Mesh",
        "TrafficPermission",
        "ExternalService",
        "VirtualOutbound",
        *SECRETS,
    }
    assert set(names(FEDERATION_WITH_POLICIES)) == {*names(FEDERATION), "MeshTrafficPermission"}


def test_secrets_are_in_other_profiles_on_request():
    for profile in (ALL, NO_DATAPLANES):
        assert SECRETS.isdisjoint(names(profile))
        assert set(names(profile, include_admin=True)) == {*names(profile), *SECRETS}
    assert set(names(ALL)) - set(names(NO_DATAPLANES)) == {"Dataplane"}
    assert {"Zone", "ZoneIngress", "ZoneEgress", "MeshTrafficPermission"} < set(names(NO_DATAPLANES))


@pytest.mark.parametrize("profile", PROFILES)
def test_types_come_in_the_order_in_which_they_can_be_applied(profile):
    found = names(profile, include_admin=True)
    assert (found[0], found[1], found[-1]) == ("Mesh", "Secret", "GlobalSecret")
    assert not any(TYPES[name].read_only for name in found)


def test_keys_of_user_tokens_come_last_and_the_cas_of_the_control_plane_not_at_all():
    given = [
        *("user-token-signing-key-1", "envoy-admin-ca", "admin-user-token", "inter-cp-ca"),
        "zone-token-signing-key-1",
    ]
    documents = [{"type": "GlobalSecret", "name": name} for name in given]
    documents.insert(0, {"type": "Secret", "mesh": "m", "name": "envoy-admin-ca"})
    assert [one["name"] for one in export_plan.in_order(documents)] == [
        *("envoy-admin-ca", "admin-user-token", "zone-token-signing-key-1", "user-token-signing-key-1")
    ]


def test_a_mesh_gets_no_initial_policies_beside_the_exported_ones():
    mesh = {"type": "Mesh", "name": "m", "skipCreatingInitialPolicies": ["TrafficPermission"]}
    assert export_plan.universal(mesh, ALL) == mesh | {"skipCreatingInitialPolicies": ["*"]}
    cluster = {"kind": "Mesh", "metadata": {"name": "m"}, "spec": {"mtls": {}}}
    written = export_plan.kubernetes(cluster, ALL)
    assert written["spec"] == {"mtls": {}, "skipCreatingInitialPolicies": ["*"]}
    assert (mesh["skipCreatingInitialPolicies"], cluster["spec"]) == (["TrafficPermission"], {"mtls": {}})


@pytest.mark.parametrize("profile", PROFILES)
def test_a_migration_forgets_where_resources_come_from(profile):
    labels = {"kuma.io/origin": "zone", "team": "a"}
    kept = {"team": "a"} if profile.startswith(FEDERATION) else labels
    assert export_plan.universal({"type": "Zone", "labels": labels}, profile)["labels"] == kept
    metadata = {"labels": labels, "annotations": labels, "uid": "1", "managedFields": []}
    written = export_plan.kubernetes({"kind": "Zone", "metadata": metadata}, profile)
    assert written["metadata"] == {"labels": kept, "annotations": kept}
    alone = {"type": "Zone", "labels": {"kuma.io/origin": "zone"}}
    assert ("labels" in export_plan.universal(alone, profile)) == (not profile.startswith(FEDERATION))


def test_objects_of_other_namespaces_stay_behind():
    here, there = ({"metadata": {"namespace": name}} for name in ("kuma-system", "apps"))
    for profile in PROFILES:
        assert export_plan.in_namespace(here, profile, "kuma-system")
        assert export_plan.in_namespace(there, profile, "kuma-system") == (profile == ALL)
        assert export_plan.in_namespace({"metadata": {}}, profile, "kuma-system")
