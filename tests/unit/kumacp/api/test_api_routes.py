"""Paths of the REST API (contract 9.2-9.4)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kumacp.api.routes import Kind, match, near
from kumamesh.resources.registry import TYPES


def segments(path):
    return tuple(part for part in path.split("/") if part)


@pytest.mark.parametrize(
    ("path", "kind", "type_", "mesh", "name"),
    [
        ("/", Kind.INDEX, None, "", ""),
        ("/config", Kind.CONFIG, None, "", ""),
        ("/who-am-i", Kind.WHO_AM_I, None, "", ""),
        ("/openapi.json", Kind.OPENAPI, None, "", ""),
        ("/policies", Kind.POLICIES, None, "", ""),
        ("/_resources", Kind.RESOURCES, None, "", ""),
        ("/versions", Kind.VERSIONS, None, "", ""),
        ("/global-insight", Kind.GLOBAL_INSIGHT, None, "", ""),
        ("/global-insights", Kind.GLOBAL_INSIGHTS, None, "", ""),
        ("/status/zones", Kind.ZONE_STATUS, None, "", ""),
        ("/_kri/kri_m____default_", Kind.KRI, None, "", "kri_m____default_"),
        ("/tokens", Kind.TOKEN, None, "", "dataplane"),
        ("/tokens/dataplane", Kind.TOKEN, None, "", "dataplane"),
        ("/tokens/zone", Kind.TOKEN, None, "", "zone"),
        ("/tokens/user", Kind.TOKEN, None, "", "user"),
        ("/meshes", Kind.LIST, "Mesh", "", ""),
        ("/meshes/m", Kind.ITEM, "Mesh", "", "m"),
        ("/meshes/m/dataplanes", Kind.LIST, "Dataplane", "m", ""),
        ("/meshes/m/dataplanes/d", Kind.ITEM, "Dataplane", "m", "d"),
        ("/dataplanes", Kind.LIST, "Dataplane", None, ""),
        ("/meshes/m/dataplanes/_overview", Kind.OVERVIEWS, "Dataplane", "m", ""),
        ("/meshes/m/dataplanes/d/_overview", Kind.OVERVIEW, "Dataplane", "m", "d"),
        ("/meshes/m/dataplanes+insights", Kind.OVERVIEWS, "Dataplane", "m", ""),
        ("/meshes/m/dataplanes+insights/d", Kind.OVERVIEW, "Dataplane", "m", "d"),
        ("/dataplanes/_overview", Kind.OVERVIEWS, "Dataplane", None, ""),
        ("/dataplanes+insights", Kind.OVERVIEWS, "Dataplane", None, ""),
        ("/zoneingresses", Kind.LIST, "ZoneIngress", "", ""),
        ("/zone-ingresses/i", Kind.ITEM, "ZoneIngress", "", "i"),
        ("/zoneingresses/_overview", Kind.OVERVIEWS, "ZoneIngress", "", ""),
        ("/zoneingresses+insights/i", Kind.OVERVIEW, "ZoneIngress", "", "i"),
        ("/zoneegressoverviews", Kind.OVERVIEWS, "ZoneEgress", "", ""),
        ("/zones/z/_overview", Kind.OVERVIEW, "Zone", "", "z"),
        ("/global-secrets/s", Kind.ITEM, "GlobalSecret", "", "s"),
        ("/globalsecrets/s", Kind.ITEM, "GlobalSecret", "", "s"),
        ("/meshes/m/secrets", Kind.LIST, "Secret", "m", ""),
        ("/meshes/m/service-insights", Kind.SERVICE_INSIGHTS, "ServiceInsight", "m", ""),
        ("/meshes/m/service-insights/web", Kind.SERVICE_INSIGHT, "ServiceInsight", "m", "web"),
        ("/service-insights", Kind.SERVICE_INSIGHTS, "ServiceInsight", None, ""),
        ("/mesh-insights", Kind.MESH_INSIGHTS, "MeshInsight", "", ""),
        ("/mesh-insights/m", Kind.MESH_INSIGHT, "MeshInsight", "", "m"),
        ("/meshes/m/dataplane-insights/d", Kind.ITEM, "DataplaneInsight", "m", "d"),
    ],
)
def test_known_paths(path, kind, type_, mesh, name):
    route = match(segments(path))
    assert route is not None
    assert (route.kind, route.type.name if route.type else None, route.mesh, route.name) == (
        kind,
        type_,
        mesh,
        name,
    )


@pytest.mark.parametrize(
    "path",
    [
        "/nothing",
        "/tokens/other",
        "/dataplanes/d",
        "/meshes/m/meshes",
        "/meshes/m/zones",
        "/meshes/m/nothing",
        "/meshes/m/dataplanes/d/other",
        "/meshes/m/dataplanes/d/_overview/x",
        "/meshes/m/secrets/_overview",
        "/zones/z/x",
        "/config/x",
        "/_kri",
        "/_kri/a/b",
        "/status",
    ],
)
def test_unknown_paths(path):
    assert match(segments(path)) is None


@pytest.mark.parametrize(
    "parts",
    [
        ("",),
        ("", "meshes"),
        ("meshes", ""),
        ("meshes", "", "dataplanes"),
        ("meshes", "m", ""),
        ("meshes", "m", "dataplanes", "", "_overview"),
        ("_kri", ""),
    ],
)
def test_no_part_of_a_path_is_empty(parts):
    assert match(parts) is None


def test_a_name_may_be_that_of_a_suffix_only_where_no_suffix_is():
    route = match(("meshes", "m", "secrets", "x"))
    assert route is not None
    assert route.name == "x"
    assert match(("meshes", "m", "secrets", "")) is None


def test_every_type_has_its_paths():
    for type_ in TYPES.values():
        for path in (type_.path, *type_.path_aliases):
            collection = ("meshes", "m", path) if type_.mesh_scoped else (path,)
            route = match(collection)
            assert route is not None
            assert route.type is type_
            assert match((*collection, "x")) is not None


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/", ("GET", "HEAD")),
        ("/tokens/zone", ("POST",)),
        ("/meshes/m", ("GET", "HEAD", "PUT", "DELETE")),
        ("/meshes", ("GET", "HEAD")),
        ("/meshes/m/dataplane-insights/d", ("GET", "HEAD")),
        ("/mesh-insights/m", ("GET", "HEAD")),
        ("/meshes/m/dataplanes/d/_overview", ("GET", "HEAD")),
    ],
)
def test_methods(path, methods):
    route = match(segments(path))
    assert route is not None
    assert route.methods == methods


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("/meshs", "/meshes"),
        ("/meshes/m/dataplane", "/meshes/m/dataplanes"),
        ("/meshes/m/dataplane/d", "/meshes/m/dataplanes/d"),
        ("/token/dataplane", "/tokens/dataplane"),
    ],
)
def test_the_nearest_path_is_suggested(path, hint):
    assert near(segments(path)) == f"; did you mean {hint}?"


@given(
    st.lists(
        st.text(max_size=8) | st.sampled_from(["meshes", "dataplanes", "_overview", "m"]),
        min_size=1,
        max_size=6,
    )
)
def test_no_path_breaks_the_table(parts):
    match(parts)
    near(parts)


@pytest.mark.parametrize(
    "parts", [("", "meshes"), ("meshes", "", "dataplanes"), ("meshes", "m", "dataplanes", "")]
)
def test_nothing_is_near_a_path_with_an_empty_part(parts):
    assert match(parts) is None
    assert near(parts) == ""
