"""Between global and zones: policies and ingresses down, what there is in the zones up, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from kumacp.kds.protocol.hashing import synced_name
from lab import eventually, http, mesh
from zone_parts import Caller, Instance, ZoneIngress
from zones import World, zones

ZONES = ("z1", "z2", "z3")
SYNC_S = 10.0
"""How long anything may take from one zone to another, or from global to a zone."""


class Scene:
    """Three zones; `backend` in z2, `web` in z1 calls it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.ingresses: dict[str, ZoneIngress] = {name: world[name].ingress() for name in ZONES}
        self.backend: Instance = world["z2"].serve("backend")
        self.web: Caller = world["z1"].caller("web", "backend")
        world.ready()
        self.web.reaches("backend", "z2")


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with zones(tmp_path_factory.mktemp("sync"), *ZONES, meshes=[mesh()]) as world:
        yield Scene(world)


def _policies(name: str) -> list[dict[str, Any]]:
    """One of each kind that is supported."""
    everything = [{"match": {"kuma.io/service": "*"}}]
    return [
        {
            "type": "TrafficPermission",
            "mesh": "default",
            "name": name,
            "sources": everything,
            "destinations": everything,
        },
        {
            "type": "MeshTrafficPermission",
            "mesh": "default",
            "name": name,
            "spec": {
                "targetRef": {"kind": "Mesh"},
                "from": [{"targetRef": {"kind": "Mesh"}, "default": {"action": "Allow"}}],
            },
        },
        {
            "type": "ExternalService",
            "mesh": "default",
            "name": name,
            "tags": {"kuma.io/service": name, "kuma.io/protocol": "tcp"},
            "networking": {"address": "127.0.0.1:1"},
        },
        {
            "type": "VirtualOutbound",
            "mesh": "default",
            "name": name,
            "selectors": everything,
            "conf": {
                "host": "{{.service}}.corp",
                "port": "8443",
                "parameters": [{"name": "service", "tagKey": "kuma.io/service"}],
            },
        },
    ]


_FOLDERS = {
    "TrafficPermission": "traffic-permissions",
    "MeshTrafficPermission": "meshtrafficpermissions",
    "ExternalService": "external-services",
    "VirtualOutbound": "virtual-outbounds",
}


def _path(document: dict[str, Any], *, in_zone: bool = False) -> str:
    name = document["name"]
    if in_zone:
        name = synced_name(document["mesh"], name, {})
    return f"/meshes/{document['mesh']}/{_FOLDERS[document['type']]}/{name}"


def _content(shown: dict[str, Any] | None) -> dict[str, Any] | None:
    """Without what differs from one control plane to another."""
    own = {"name", "creationTime", "modificationTime", "labels", "kri"}
    return None if shown is None else {key: value for key, value in shown.items() if key not in own}


@pytest.mark.promise("A10", part="policies reach every zone")
@pytest.mark.promise("B02", part="created, changed and deleted by kumactl")
@pytest.mark.promise("B08", part="whole")
def test_policies_of_global_are_in_every_zone_as_they_were_made(scene: Scene) -> None:
    world = scene.world
    documents = _policies("synced")
    for document in documents:
        out = world.kumactl("apply", "-f", "-", stdin=json.dumps(document))
        assert "Created" in out
    for document in documents:
        at_global = world.get(_path(document))

        def everywhere(document: dict[str, Any] = document, wanted: Any = at_global) -> bool:
            shown = world.everywhere(_path(document, in_zone=True))
            return all(_content(each) == _content(wanted) for each in shown)

        eventually(everywhere, f"{document['type']} in every zone", SYNC_S)
    changed = replace_spec(documents[1], "Deny")
    assert "Updated" in world.kumactl("apply", "-f", "-", stdin=json.dumps(changed))
    eventually(
        lambda: all(
            each["spec"]["from"][0]["default"]["action"] == "Deny"
            for each in world.everywhere(_path(changed, in_zone=True))
        ),
        "the change in every zone",
        SYNC_S,
    )
    kinds = ("traffic-permission", "meshtrafficpermission", "external-service", "virtual-outbound")
    for kind in kinds:
        world.kumactl("delete", kind, "synced", "--mesh=default")
    for document in documents:
        eventually(
            lambda document=document: world.everywhere(_path(document, in_zone=True)) == [None] * 3,
            f"{document['type']} gone from every zone",
            SYNC_S,
        )


def replace_spec(document: dict[str, Any], action: str) -> dict[str, Any]:
    rule = {"targetRef": {"kind": "Mesh"}, "default": {"action": action}}
    return {**document, "spec": {**document["spec"], "from": [rule]}}


@pytest.mark.promise("B03", part="whole")
@pytest.mark.promise("B02", part="reflected in zones and Envoys")
def test_a_permission_of_global_decides_in_the_envoys_of_the_zones(scene: Scene) -> None:
    world = scene.world
    denying = replace_spec(_policies("nobody")[1], "Deny")
    scene.web.reaches("backend", "z2")
    world.put(denying)
    scene.web.fails("backend", 403)
    with world.layout.top.inside():
        world.top.delete(_path(denying))
    scene.web.reaches("backend", "z2")


@pytest.mark.promise("A10", part="ingresses reach the other zones, not their own again")
@pytest.mark.promise("I08", part="whole")
@pytest.mark.promise("A09", part="whole")
def test_every_zone_knows_the_ingresses_of_the_others_once(scene: Scene) -> None:
    world = scene.world

    def known(shown: dict[str, Any]) -> dict[str, tuple[str, int]]:
        return {
            item["zone"]: (item["networking"]["advertisedAddress"], item["networking"]["advertisedPort"])
            for item in shown["items"]
        }

    wanted = {name: ingress.advertised for name, ingress in scene.ingresses.items()}
    for ask in (world.get, *(world[name].get for name in ZONES)):

        def all_three(ask: Any = ask) -> bool:
            shown = ask("/zoneingresses")
            return shown["total"] == 3 and known(shown) == wanted

        eventually(all_three, "three zone ingresses", SYNC_S)
    own = world["z1"].get("/zoneingresses/ingress-1")
    assert own["zone"] == "z1"
    of_z2 = world["z2"].get("/zoneingresses/ingress-1")
    name_at_global = synced_name("", "ingress-1", {"kuma.io/zone": "z2"})
    at_global = eventually(
        lambda: (
            (found := world.get(f"/zoneingresses/{name_at_global}"))
            and found.get("availableServices") == of_z2["availableServices"]
            and found
        ),
        "the services of z2 at global",
        SYNC_S,
    )
    assert at_global["zone"] == "z2"
    assert [(each["tags"]["kuma.io/service"], each["instances"]) for each in of_z2["availableServices"]] == [
        ("backend", 1)
    ]


@pytest.mark.promise("B04", part="whole")
def test_an_ingress_that_moves_is_followed_by_the_other_zones(scene: Scene) -> None:
    ingress, web = scene.ingresses["z2"], scene.web
    scene.web.reaches("backend", "z2")
    assert [one.address for one in web.endpoints("backend")] == [ingress.advertised]
    moved = scene.world.layout.way("z2", "ingress-1", ingress.address[1])[0]
    document = scene.world["z2"].get("/zoneingresses/ingress-1")
    for networking, wanted in ((moved, moved), (ingress.advertised, ingress.advertised)):
        document["networking"]["advertisedAddress"], document["networking"]["advertisedPort"] = networking
        with scene.world["z2"].inside():
            scene.world["z2"].plane.put(document)
        eventually(
            lambda wanted=wanted: [one.address for one in web.endpoints("backend")] == [wanted],
            "the new address in the Envoy of the other zone",
            SYNC_S,
        )
        scene.web.reaches("backend", "z2")


@pytest.mark.promise("B05", part="inventory of all zones, with insights")
@pytest.mark.promise("B09", part="changes and deletions reach global")
def test_global_knows_the_data_planes_of_all_zones(scene: Scene) -> None:
    world, added = scene.world, scene.world["z3"].serve("inventory", instances=2)
    world.ready()
    names = {
        (zone, part): synced_name("default", part, {"kuma.io/zone": zone})
        for zone, part in (("z1", "web-1"), ("z2", "backend-1"), ("z3", "inventory-1"))
    }

    def online() -> bool:
        shown = world.get("/meshes/default/dataplanes/_overview")["items"]
        found = {
            item["name"]: any(
                "disconnectTime" not in one for one in item["dataplaneInsight"]["subscriptions"]
            )
            for item in shown
            if item.get("dataplaneInsight")
        }
        return all(found.get(name) for name in names.values())

    eventually(online, "all data planes Online at global", SYNC_S)
    name = names["z3", "inventory-1"]
    shown = world.get(f"/meshes/default/dataplanes/{name}")
    assert shown["labels"]["kuma.io/display-name"] == "inventory-1"
    assert shown["labels"]["kuma.io/zone"] == "z3"
    table = world.kumactl("inspect", "dataplanes", "--mesh=default")
    assert sum("Online" in line for line in table.splitlines()) >= 3, table

    document = world["z3"].get("/meshes/default/dataplanes/inventory-1")
    document["networking"]["inbound"][0]["tags"]["version"] = "v2"
    with world["z3"].inside():
        world["z3"].plane.put(document)

    def changed() -> bool:
        tags = world.get(f"/meshes/default/dataplanes/{name}")["networking"]["inbound"][0]["tags"]
        return tags.get("version") == "v2"

    eventually(changed, "the new tag at global", SYNC_S)
    added.stop()
    eventually(
        lambda: world.get(f"/meshes/default/dataplanes/{name}") is None, "gone from global", timeout_s=30
    )


@pytest.mark.promise("E01", part="across zones")
@pytest.mark.promise("A05", part="whole")
def test_a_service_of_two_zones_is_one_service(scene: Scene) -> None:
    world = scene.world
    parts = [world["z1"].serve("orders"), world["z2"].serve("orders")]
    caller = world["z3"].caller("shop", "orders")
    world.ready()
    caller.reaches("orders", "z1", "z2")

    def insight() -> bool:
        services = world.get("/meshes/default/service-insights")["items"]
        found = [each for each in services if each["name"] == "orders"]
        return [
            (each["status"], each["dataplanes"]["online"], each["dataplanes"]["total"]) for each in found
        ] == [("online", 2, 2)] and found[0]["issuedBackends"] == {"ca-1": 2}

    eventually(insight, "one service, 2 of 2 online", SYNC_S)
    rows = [line.split() for line in world.kumactl("inspect", "services").splitlines()]
    assert ["orders", "Online", "2/2"] in rows
    parts[0].stop()
    caller.reaches("orders", "z2")
    eventually(
        lambda: (
            ["orders", "Online", "1/1"]
            in [line.split() for line in world.kumactl("inspect", "services").splitlines()]
        ),
        "1/1 after the end of one",
        timeout_s=30,
    )
    caller.stop()
    parts[1].stop()


@pytest.mark.promise("I15", part="whole")
def test_a_new_mesh_of_global_takes_data_planes_in_every_zone(scene: Scene) -> None:
    world = scene.world
    world.put(mesh("second"))
    eventually(lambda: None not in world.everywhere("/meshes/second"), "the mesh in every zone", SYNC_S)
    served = world["z2"].serve("only", mesh="second")
    caller = world["z1"].caller("asker", "only", mesh="second")
    world.ready()
    caller.reaches("only", "z2")
    caller.stop()
    served.stop()


@pytest.mark.promise("B12", part="whole")
def test_a_zone_refuses_what_only_global_may_write(scene: Scene) -> None:
    world, zone = scene.world, scene.world["z1"]
    refused = (
        "On zone control plane you can only modify zone resources with 'kumactl apply' or via the HTTP API."
        " You can still use 'kumactl' or the HTTP API to modify the rest of the resource on the global"
        " control plane."
    )
    api = zone.plane.api
    policy = _policies("foreign")[1]
    status, body = http("PUT", api + _path(policy), policy)
    assert (status, json.loads(body)["detail"]) == (405, refused)
    assert zone.get(_path(policy)) is None
    assert http("PUT", f"{api}/meshes/default", mesh())[0] == 405
    default = synced_name("default", "allow-all-default", {})
    status, body = http("DELETE", f"{api}/meshes/default/traffic-permissions/{default}")
    assert (status, json.loads(body)["detail"]) == (405, refused)
    assert zone.get(f"/meshes/default/traffic-permissions/{default}") is not None
    dataplane = zone.get("/meshes/default/dataplanes/web-1")
    assert http("PUT", f"{api}/meshes/default/dataplanes/web-1", dataplane)[0] == 200
    status, body = http("PUT", f"{world.top.api}/meshes/default/dataplanes/web-1", dataplane)
    assert status == 405
    assert "On global control plane you can not modify dataplane resources" in json.loads(body)["detail"]


@pytest.mark.promise("I05", part="REST /xds, /stats, /clusters through global")
def test_global_looks_into_the_envoys_of_the_zones(scene: Scene) -> None:
    world = scene.world
    name = synced_name("default", "backend-1", {"kuma.io/zone": "z2"})
    path = f"/meshes/default/dataplanes/{name}"
    assert "configs" in eventually(lambda: world.get(f"{path}/xds"), "the configuration", SYNC_S)
    assert b"cluster." in http("GET", f"{world.top.api}{path}/stats")[1]
    assert b"::" in http("GET", f"{world.top.api}{path}/clusters")[1]
    ingress = synced_name("", "ingress-1", {"kuma.io/zone": "z2"})
    dump = world.kumactl("inspect", "zoneingress", ingress, "--type=config-dump")
    assert "backend{mesh=default}" in dump


def test_metrics_tell_of_zones_and_links(scene: Scene) -> None:
    world, zone = scene.world, scene.world["z1"].plane
    assert world.top.metric("zones_total") == 3
    assert world.top.metric("zones_online") == 3
    assert world.top.metric("kds_delta_streams_active") == 3 * 5
    for name in ("kds_delta_responses_sent", "kds_delta_requests_received", "kds_responses_received_total"):
        assert world.top.metric(name) > 0
        assert zone.metric(name) > 0
    assert world.top.metric("kds_responses_rejected_total") == 0
    assert zone.metric("kds_responses_rejected_total") == 0
    assert zone.metric("kds_connected") == 1
    assert zone.metric("kds_connections_total") >= 1


def test_nothing_secret_leaves_global(scene: Scene) -> None:
    """What a zone has of global: no private key for tokens, no administrator's token; no listing of zones."""
    for name in ZONES:
        zone = scene.world[name]
        secrets = {item["name"] for item in zone.get("/global-secrets")["items"]}
        assert not {each for each in secrets if each.startswith("zone-token-signing-key")}, secrets
        assert any(each.startswith("zone-token-signing-public-key") for each in secrets)
        own = json.dumps(zone.get("/global-secrets/admin-user-token"))
        assert own != json.dumps(scene.world.get("/global-secrets/admin-user-token"))
    assert [item["name"] for item in scene.world.get("/zones")["items"]] == list(ZONES)
