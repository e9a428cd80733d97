"""Types as people name them."""

import pytest

from kumactl.resource_paths import collection_path, deletable_types, find_type, item_path, missing
from kumamesh.errors import UserError
from kumamesh.resource import ResourceKey
from kumamesh.resources.registry import TYPES


@pytest.mark.parametrize(
    ("name", "type_"),
    [
        ("mesh", "Mesh"),
        ("meshes", "Mesh"),
        ("dataplane", "Dataplane"),
        ("dataplanes", "Dataplane"),
        ("Dataplane", "Dataplane"),
        ("zone-ingresses", "ZoneIngress"),
        ("zoneingress", "ZoneIngress"),
        ("global-secrets", "GlobalSecret"),
        ("traffic-permission", "TrafficPermission"),
        ("meshtrafficpermissions", "MeshTrafficPermission"),
    ],
)
def test_singular_plural_and_type_name(name, type_):
    assert find_type(name).name == type_


def test_the_nearest_type_is_named():
    with pytest.raises(UserError, match=r'unknown resource type "dataplan"; did you mean dataplane\?'):
        find_type("dataplan")
    with pytest.raises(UserError, match=r"use `kumactl inspect services`"):
        find_type("services")
    with pytest.raises(UserError, match=r'unknown resource type "xyzzy"\. Known are: .*dataplanes'):
        find_type("xyzzy")


def test_only_what_is_offered_is_named():
    with pytest.raises(UserError, match=r'"xyzzy"\. Known are: dataplanes, (?!.*insights).*zones$'):
        find_type("xyzzy", deletable_types())
    with pytest.raises(UserError, match=r'"zone-insigh"; did you mean (?!.*insight)'):
        find_type("zone-insigh", deletable_types())
    assert find_type("zone-insight", deletable_types()).name == "ZoneInsight", (
        "the control plane says why not"
    )


def test_paths_keep_odd_names_in_one_segment():
    assert collection_path(TYPES["Dataplane"], "m") == "/meshes/m/dataplanes"
    assert collection_path(TYPES["Zone"], "m") == "/zones"
    assert item_path(ResourceKey("Secret", "m", "a/b?c d")) == "/meshes/m/secrets/a%2Fb%3Fc%20d"
    assert item_path(ResourceKey("Mesh", "", "m")) == "/meshes/m"


def test_what_is_missing_is_named():
    assert missing(ResourceKey("Zone", "", "z")) == 'there is no Zone with name "z"'
    assert missing(ResourceKey("Dataplane", "m", "d")) == 'there is no Dataplane with name "d" in mesh "m"'
