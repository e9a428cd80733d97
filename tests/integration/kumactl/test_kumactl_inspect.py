"""`kumactl inspect` against fixed answers: which requests it makes, and what it prints."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from rest_stub import configure, rest_stub
from running_api import Kumactl

DATAPLANE = "/meshes/default/dataplanes/web-1"
DUMP = '{\n  "configs": []\n}'
STATS = "server.live: 1\nserver.uptime: 3\n"
POLICIES = {
    "kind": "SidecarDataplane",
    "total": 1,
    "items": [
        {
            "type": "service",
            "name": "api",
            "service": "api",
            "matchedPolicies": {"Retry": [{"name": "again"}]},
        }
    ],
}
AFFECTED = {
    "total": 1,
    "items": [{"dataplane": {"mesh": "default", "name": "web-1"}, "attachments": [{"type": "dataplane"}]}],
}
OVERVIEWS = {"total": 1, "items": [{"name": "one"}], "next": None}
ANSWERS = {
    DATAPLANE: {"type": "Dataplane", "name": "web-1"},
    f"{DATAPLANE}/xds": DUMP,
    f"{DATAPLANE}/stats": STATS,
    f"{DATAPLANE}/clusters": "web::default_priority\n",
    f"{DATAPLANE}/_config": {"xds": {}, "diff": []},
    f"{DATAPLANE}/policies": POLICIES,
    "/zoneingresses/zi-1/xds": DUMP,
    "/zoneegresses/ze-1/clusters": "clusters\n",
    "/meshes/default/traffic-permissions/allow/dataplanes": AFFECTED,
    "/meshes/other/meshtrafficpermissions/mtp/_resources/dataplanes": {
        "total": 1,
        "items": [{"type": "Dataplane", "mesh": "other", "name": "web-1"}],
    },
    "/zones/_overview": OVERVIEWS,
    "/zoneingresses/_overview": OVERVIEWS,
    "/zoneegresses/_overview": OVERVIEWS,
    "/meshes/default/dataplanes/_overview": OVERVIEWS,
}
PAGE = "?size=1000"


@pytest.mark.parametrize(
    ("args", "asked", "out"),
    [
        (("dataplane", "web-1"), f"{DATAPLANE}/policies", "SERVICE api:\n  Retry\n    again\n\n"),
        (("dataplane", "web-1", "--type=config-dump"), f"{DATAPLANE}/xds", DUMP + "\n"),
        (
            ("dataplane", "web-1", "--type=config-dump", "--include-eds"),
            f"{DATAPLANE}/xds?include_eds=true",
            DUMP + "\n",
        ),
        (("dataplane", "web-1", "--type", "stats"), f"{DATAPLANE}/stats", STATS),
        (("dataplane", "web-1", "--type=stats", "--format=json"), f"{DATAPLANE}/stats?format=json", STATS),
        (
            ("dataplane", "web-1", "--type=clusters", "--format=text"),
            f"{DATAPLANE}/clusters",
            "web::default_priority\n",
        ),
        (("dataplane", "web-1", "--type=config"), f"{DATAPLANE}/_config", '{"xds": {}, "diff": []}\n'),
        (
            ("dataplane", "web-1", "--type=config", "--shadow", "--include=diff"),
            f"{DATAPLANE}/_config?shadow=true&include=diff",
            '{"xds": {}, "diff": []}\n',
        ),
        (("zoneingress", "zi-1"), "/zoneingresses/zi-1/xds", DUMP + "\n"),
        (("zoneegress", "ze-1", "--type=clusters"), "/zoneegresses/ze-1/clusters", "clusters\n"),
        (
            ("traffic-permission", "allow"),
            "/meshes/default/traffic-permissions/allow/dataplanes",
            "Affected data plane proxies:\n\n  web-1\n",
        ),
        (
            ("meshtrafficpermission", "mtp", "-m", "other", "--new-api"),
            "/meshes/other/meshtrafficpermissions/mtp/_resources/dataplanes",
            "Type        Mesh    Name\nDataplane   other   web-1\n\nTotal: 1\n",
        ),
    ],
)
async def test_one_of_a_kind(tmp_path: Path, args: tuple[str, ...], asked: str, out: str) -> None:
    async with rest_stub(ANSWERS) as stub:
        configure(tmp_path, stub.url)
        ran = await Kumactl(tmp_path)("inspect", *args)
    assert (ran.code, ran.err, ran.out) == (0, "", out)
    assert stub.asked == [f"GET {asked}"]


@pytest.mark.parametrize(
    ("args", "asked", "columns"),
    [
        (("zones",), f"/zones/_overview{PAGE}", ["ZONE-CP VERSION", "BACKEND"]),
        (("zoneingresses",), f"/zoneingresses/_overview{PAGE}", ["KUMA-DP VERSION", "ENVOY VERSION"]),
        (("zone-ingresses",), f"/zoneingresses/_overview{PAGE}", ["KUMA-DP VERSION", "ENVOY VERSION"]),
        (("zoneegresses",), f"/zoneegresses/_overview{PAGE}", ["KUMA-DP VERSION", "ENVOY VERSION"]),
        (("zone-egresses",), f"/zoneegresses/_overview{PAGE}", ["KUMA-DP VERSION", "ENVOY VERSION"]),
        (
            ("dataplanes", "--tag", "kuma.io/service=web,v=1", "--tag=a=b", "--gateway"),
            "/meshes/default/dataplanes/_overview"
            "?tag=kuma.io%2Fservice%3Aweb&tag=v%3A1&tag=a%3Ab&gateway=true&size=1000",
            ["DEPENDENCIES VERSIONS", "NOTES"],
        ),
        (
            ("dataplanes", "--ingress"),
            "/meshes/default/dataplanes/_overview?ingress=true&size=1000",
            ["DEPENDENCIES VERSIONS", "NOTES"],
        ),
    ],
)
async def test_lists(tmp_path: Path, args: tuple[str, ...], asked: str, columns: list[str]) -> None:
    async with rest_stub(ANSWERS) as stub:
        configure(tmp_path, stub.url)
        ran = await Kumactl(tmp_path)("inspect", *args)
        assert (ran.code, ran.err) == (0, "")
        assert ran.out.splitlines()[0].split("   ")[-2:] == columns
        assert len(ran.out.splitlines()) == 2
        assert [path.replace("%2F", "/").replace("%3A", ":") for path in stub.asked] == [
            f"GET {asked}".replace("%2F", "/").replace("%3A", ":")
        ]
        shown = yaml.safe_load((await Kumactl(tmp_path)("inspect", *args, "-o", "yaml")).out)
    assert shown == OVERVIEWS


async def test_policies_as_documents(tmp_path: Path) -> None:
    async with rest_stub(ANSWERS) as stub:
        configure(tmp_path, stub.url)
        run = Kumactl(tmp_path)
        shown = await run("inspect", "dataplane", "web-1", "-o", "json")
        assert json.loads(shown.out) == POLICIES
        shown = await run("inspect", "traffic-permission", "allow", "-o", "yaml")
        assert yaml.safe_load(shown.out) == AFFECTED


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("dataplane", "web-1", "--shadow"), "flag '--shadow' can be used only when '--type=config'"),
        (
            ("dataplane", "web-1", "--type=stats", "--include=diff"),
            "flag '--include' can be used only when '--type=config'",
        ),
        (
            ("zoneingress", "zi-1", "--type=stats", "--include-eds"),
            "flag '--include-eds' can be used only when '--type=config-dump'",
        ),
        (
            ("dataplane", "web-1", "--type=config", "--format=json"),
            "flag '--format' can be used only when '--type=stats' or '--type=clusters'",
        ),
        (
            ("dataplane", "web-1", "--type=stats", "-o", "yaml"),
            "flag '--output' can be used only when '--type=policies'",
        ),
        (("dataplane", "gone", "--type=stats"), 'there is no Dataplane with name "gone" in mesh "default"'),
        (("zoneegress", "gone"), 'there is no ZoneEgress with name "gone"'),
        (
            ("meshtrafficpermission", "gone"),
            'there is no MeshTrafficPermission with name "gone" in mesh "default"',
        ),
        (("dataplanes", "--tag", "a"), "the tag 'a' must have the form key=value"),
        (("dataplane",), "Missing argument 'NAME'."),
        (("dataplane", ".."), '".." is no name of a resource or mesh'),
        (("zoneingress", "a", "--type=policies"), "Invalid value for '--type': 'policies' is not one of"),
    ],
)
async def test_mistakes_are_one_line(tmp_path: Path, args: tuple[str, ...], message: str) -> None:
    async with rest_stub(ANSWERS) as stub:
        configure(tmp_path, stub.url)
        ran = await Kumactl(tmp_path)("inspect", *args)
    assert (ran.code, ran.out, ran.err.count("\n")) == (1, "", 1)
    assert ran.err.startswith(f"Error: {message}")


async def test_what_a_resource_cannot_be_asked_is_not_told_as_its_absence(tmp_path: Path) -> None:
    answers = {DATAPLANE: ANSWERS[DATAPLANE]}
    async with rest_stub(answers) as stub:
        configure(tmp_path, stub.url)
        ran = await Kumactl(tmp_path)("inspect", "dataplane", "web-1", "--type=stats")
    assert (ran.code, ran.err) == (1, "Error: the control plane answered with status 404\n")
