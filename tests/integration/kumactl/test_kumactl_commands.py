"""The commands of kumactl against a real REST API."""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import yaml

from kumacp.listen_server import listen
from kumamesh.resource import Resource, ResourceKey
from kumamesh.resources.insight import DataplaneInsight
from running_api import Kumactl, RunningApi, running_api

MESH = """
type: Mesh
name: default
mtls:
  enabledBackend: ca-1
  backends:
  - name: ca-1
    type: builtin
"""
VARIABLES = ("-v", "port=8080", "-v", "service=web")
DATAPLANE = """
type: Dataplane
mesh: default
name: {{ name }}
networking:
  address: 127.0.0.1
  inbound:
  - port: {{ port }}
    tags:
      kuma.io/service: {{ service }}
"""


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[RunningApi]:
    async with running_api(tmp_path / "cp") as running:
        yield running


@pytest.fixture
async def kumactl(api: RunningApi, tmp_path: Path) -> Kumactl:
    """With the server as its only control plane."""
    run = Kumactl(tmp_path)
    folder = tmp_path / ".kumactl"
    folder.mkdir()
    document = {
        "controlPlanes": [{"name": "cp", "coordinates": {"apiServer": {"url": api.http_url}}}],
        "contexts": [{"name": "cp", "controlPlane": "cp"}],
        "currentContext": "cp",
    }
    (folder / "config").write_text(yaml.safe_dump(document))
    return run


async def connect(api: RunningApi, name: str) -> None:
    """What the data-plane server notes of a connected proxy."""
    subscription = {"id": "1", "connectTime": "2026-05-04T10:00:00Z"}
    mtls = {"issuedBackend": "ca-1", "supportedBackends": ["ca-1"]}
    spec = DataplaneInsight.model_validate({"subscriptions": [subscription], "mTLS": mtls})
    await api.manager.put(Resource(ResourceKey("DataplaneInsight", "default", name), spec))


async def test_several_documents_are_applied_and_applied_again(api, kumactl, tmp_path):
    file = tmp_path / "all.yaml"
    file.write_text(f"{MESH}---\n{DATAPLANE}---\n")
    args = ("apply", "-f", str(file), "-v", "name=web-1", "--var", "port=8080", "-v", "service=web")
    first = await kumactl(*args)
    assert (first.code, first.out.splitlines()) == (
        0,
        [
            'resource type="Mesh" name="default" Updated',
            'resource type="Dataplane" mesh="default" name="web-1" Created',
        ],
    )
    second = await kumactl(*args)
    assert second.out.splitlines()[1] == 'resource type="Dataplane" mesh="default" name="web-1" Updated'
    stored = await api.store.get(ResourceKey("Dataplane", "default", "web-1"))
    assert stored.spec.networking.inbound[0].port == 8080
    assert (await api.store.get(ResourceKey("Mesh", "", "default"))).spec.enabled_backend.name == "ca-1"


async def test_apply_reads_stdin_and_directories(api, kumactl, tmp_path):
    assert (await kumactl("apply", "-f", "-", stdin="{type: Mesh, name: a}")).code == 0
    assert (await kumactl("apply", stdin='{"type": "Mesh", "name": "b"}')).code == 0
    folder = tmp_path / "meshes"
    folder.mkdir()
    (folder / "1.yaml").write_text("type: Mesh\nname: c\n")
    (folder / "2.json").write_text('{"type": "Mesh", "name": "d"}')
    (folder / "notes.txt").write_text("not a resource")
    applied = await kumactl("apply", "-f", str(folder))
    assert applied.out.splitlines() == [
        'resource type="Mesh" name="c" Created',
        'resource type="Mesh" name="d" Created',
    ]
    assert {mesh.name for mesh in await api.store.list("Mesh")} == {"a", "b", "c", "d", "default"}


async def test_a_dry_run_prints_and_stores_nothing(api, kumactl):
    ran = await kumactl("apply", "--dry-run", "-f", "-", stdin=f"type: Mesh\nname: a\n---\n{MESH}")
    assert ran.code == 0
    documents = list(yaml.safe_load_all(ran.out))
    assert [document["name"] for document in documents] == ["a", "default"]
    assert documents[1]["mtls"]["enabledBackend"] == "ca-1"
    assert [mesh.name for mesh in await api.store.list("Mesh")] == ["default"]


async def test_the_mesh_flag_completes_what_is_applied(api, kumactl):
    await kumactl("apply", stdin="{type: Mesh, name: other}")
    secret = "{type: Secret, name: s, data: YWJj}"
    assert (await kumactl("apply", "-m", "other", stdin=secret)).out == (
        'resource type="Secret" mesh="other" name="s" Created\n'
    )
    assert (await api.store.get(ResourceKey("Secret", "other", "s"))).spec.data == b"abc"


async def test_warnings_of_the_control_plane_go_to_stderr(kumactl):
    text = (
        DATAPLANE.replace("{{ name }}", "web_1").replace("{{ port }}", "80").replace("{{ service }}", "web")
    )
    applied = await kumactl("apply", stdin=text)
    assert applied.code == 0
    assert applied.err.startswith("WARNING: name: 'web_1' is of the old form")


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("type: Mesh\nname: [a\n", [r"Error: stdin:\d+:\d+: .*"]),
        ("type: Mesh\nname: a\nname: b\n", [r'Error: stdin:3:1: the key "name" is given twice']),
        ("- a\n", [r"Error: stdin:1:1: .*not a list"]),
        ("", ["Error: there is no resource in stdin"]),
        (
            "type: Mash\nname: a\n",
            [
                "Error: stdin: Resource is not valid",
                r'\* type: unknown resource type "Mash"; did you mean "Mesh"\?',
            ],
        ),
        (
            "type: Mesh\nname: a\nmtsl: {}\n",
            ["Error: stdin: Resource is not valid", r"\* mtsl: unknown field.*mtls.*"],
        ),
        (
            "type: Mesh\nname: a\n---\ntype: Dataplane\nname: d\nnetworking:\n  address: 0.0.0.0\n"
            "  inbound:\n  - port: 70000\n    tags: {kuma.io/service: web}\n",
            [
                "Error: stdin, document 2: Resource is not valid",
                r"\* networking.address: .*",
                r"\* networking.inbound\[0\].port: .*\[1, 65535\].*",
            ],
        ),
        ("name: {{ who }}\n", ["Error: stdin:1: the variable who has no value; give it with -v who=VALUE"]),
    ],
)
async def test_bad_input_is_told_in_place_and_nothing_is_stored(api, kumactl, text, lines):
    ran = await kumactl("apply", "-f", "-", stdin=text)
    assert (ran.code, ran.out) == (1, "")
    found = ran.err.splitlines()
    assert len(found) == len(lines), ran.err
    for line, pattern in zip(found, lines, strict=True):
        assert re.fullmatch(pattern, line), (line, pattern)
    assert [mesh.name for mesh in await api.store.list("Mesh")] == ["default"]
    assert await api.store.list("Dataplane") == []


async def test_what_the_control_plane_refuses_is_listed(api, kumactl):
    text = DATAPLANE.replace("mesh: default", "mesh: nowhere")
    ran = await kumactl("apply", *VARIABLES, "-v", "name=d", stdin=text)
    assert ran.code == 1
    assert ran.err.splitlines() == [
        'Error: stdin: Dataplane "d": Could not create a resource (Resource is not valid)',
        '* mesh: mesh "nowhere" does not exist',
    ]


async def test_a_refused_document_is_found_among_the_applied_ones(kumactl):
    refused = DATAPLANE.replace("mesh: default", "mesh: nowhere")
    ran = await kumactl("apply", *VARIABLES, "-v", "name=d", stdin=f"{MESH}---{refused}")
    assert (ran.code, ran.out) == (1, 'resource type="Mesh" name="default" Updated\n')
    assert ran.err.startswith('Error: stdin, document 2: Dataplane "d": Could not create a resource')


async def test_files_that_cannot_be_read(kumactl, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "latin").write_bytes(b"name: \xe4\n")
    for path, reason in (
        ("gone.yaml", "No such file"),
        ("empty", "has no file that ends in"),
        ("latin", "UTF-8"),
    ):
        ran = await kumactl("apply", "-f", str(tmp_path / path))
        assert ran.code == 1
        assert re.fullmatch(rf"Error: .*{reason}.*\n", ran.err), ran.err


async def test_get_lists_shows_and_pages(api, kumactl):
    for name in ("a", "b"):
        text = (
            DATAPLANE.replace("{{ name }}", name).replace("{{ port }}", "80").replace("{{ service }}", "web")
        )
        await kumactl("apply", stdin=text)
    listed = await kumactl("get", "dataplanes")
    header, first, second = listed.out.splitlines()
    assert header.split() == ["MESH", "NAME", "TAGS", "ADDRESS", "AGE"]
    assert re.fullmatch(
        r"default   a      kuma.io/service=web kuma.io/zone=default   127.0.0.1   \d+s", first
    )
    assert second.split()[1] == "b"
    page = await kumactl("get", "dataplanes", "--size", "1", "--offset", "0")
    assert page.out.endswith("\n\nRerun command with --offset=1 argument to retrieve more resources\n")
    one = await kumactl("get", "dataplane", "a", "-o", "yaml")
    assert yaml.safe_load(one.out)["networking"]["address"] == "127.0.0.1"
    many = await kumactl("get", "dataplanes", "-o", "json")
    assert json.loads(many.out)["total"] == 2
    meshes = await kumactl("get", "meshes")
    assert meshes.out.splitlines()[1].split()[:2] == ["default", "off"]


async def test_what_is_computed_has_neither_times_nor_age(kumactl):
    await kumactl("apply", *VARIABLES, "-v", "name=web-1", stdin=DATAPLANE)
    assert (await kumactl("get", "service-insights")).out.splitlines() == [
        "MESH      NAME   AGE",
        "default   web",
    ]
    for output in ("yaml", "json"):
        listed = yaml.safe_load((await kumactl("get", "service-insights", "-o", output)).out)["items"]
        one = yaml.safe_load((await kumactl("get", "mesh-insight", "default", "-o", output)).out)
        for document in (*listed, one):
            assert document.keys().isdisjoint({"creationTime", "modificationTime"})
    stored = yaml.safe_load((await kumactl("get", "mesh", "default", "-o", "yaml")).out)
    assert {"creationTime", "modificationTime"} <= stored.keys()


async def test_what_get_shows_can_be_applied(kumactl):
    await kumactl("apply", stdin=MESH)
    shown = await kumactl("get", "mesh", "default", "-o", "yaml")
    assert (await kumactl("apply", stdin=shown.out)).out == 'resource type="Mesh" name="default" Updated\n'


async def test_delete(api, kumactl):
    await kumactl("apply", stdin="{type: Mesh, name: a}")
    assert (await kumactl("delete", "mesh", "a")).out == 'deleted Mesh "a"\n'
    missing = await kumactl("delete", "mesh", "a")
    assert (missing.code, missing.err) == (1, 'Error: there is no Mesh with name "a"\n')
    missing = await kumactl("get", "dataplane", "x", "-m", "default")
    assert (missing.code, missing.err) == (
        1,
        'Error: there is no Dataplane with name "x" in mesh "default"\n',
    )


async def test_inspect(api, kumactl):
    for name in ("web-1", "web-2"):
        text = (
            DATAPLANE.replace("{{ name }}", name).replace("{{ port }}", "80").replace("{{ service }}", "web")
        )
        await kumactl("apply", stdin=text)
    await connect(api, "web-1")
    services = await kumactl("inspect", "services")
    assert re.fullmatch(r"SERVICE +STATUS +DATAPLANES\nweb +Partially degraded +1/2\n", services.out)
    await connect(api, "web-2")
    services = await kumactl("inspect", "services")
    assert re.search(r"^web +Online +2/2$", services.out, re.MULTILINE)
    document = yaml.safe_load((await kumactl("inspect", "services", "-o", "yaml")).out)
    assert document["items"][0]["issuedBackends"] == {"ca-1": 2}

    dataplanes = await kumactl("inspect", "dataplanes", "--tag", "kuma.io/service=web")
    assert dataplanes.out.splitlines()[0].startswith("MESH      NAME    TAGS ")
    assert [line.split()[4] for line in dataplanes.out.splitlines()[1:]] == ["Online", "Online"]
    assert (await kumactl("inspect", "dataplanes", "--tag", "kuma.io/service=api")).out.count("\n") == 1
    meshes = await kumactl("inspect", "meshes")
    assert meshes.out.splitlines()[1].split()[:3] == ["default", "2/2", "1"]


async def test_tokens_of_the_control_plane(api, kumactl):
    made = await kumactl(
        *("generate", "dataplane-token", "--name", "web-1", "--mesh", "default", "--valid-for", "1h"),
        *("--tag", "kuma.io/service=web,web-api", "--type", "dataplane"),
    )
    assert (made.code, made.err) == (0, "")
    assert "\n" not in made.out
    now = time.time()
    claims = (await api.key_ring()).verify_dataplane(made.out, "default", now + 5)
    assert (claims.name, claims.tags) == ("web-1", {"kuma.io/service": ("web", "web-api")})
    assert claims.expires is not None
    assert abs(claims.expires - now - 3600) < 60

    made = await kumactl("generate", "zone-token", "--zone=zone-1", "--scope", "egress", "--scope", "ingress")
    assert made.err == "WARNING: --valid-for is not given: the token holds for 10 years\n"
    zone = (await api.key_ring()).verify_zone(made.out, now + 5)
    assert (zone.zone, zone.scope) == ("zone-1", ("egress", "ingress"))
    assert zone.expires is not None
    assert zone.expires > now + 9 * 365 * 86_400

    made = await kumactl("generate", "user-token", "--name", "ann", "--group", "g", "--valid-for", "24h")
    assert (await api.key_ring()).verify_user(made.out, now + 5).groups == ("g",)


async def test_tokens_made_offline(kumactl, tmp_path, api):
    key = tmp_path / "key.pem"
    key.write_text((await kumactl("generate", "signing-key", "--format", "pem")).out)
    public = await kumactl("generate", "public-key", "--signing-key-path", str(key))
    assert public.out.startswith("-----BEGIN RSA PUBLIC KEY-----")
    encoded = await kumactl("generate", "signing-key")
    secret = f"{{type: Secret, name: dataplane-token-signing-key-default-2, data: {encoded.out}}}"
    assert (await kumactl("apply", stdin=secret)).code == 0

    stored = await api.store.get(ResourceKey("Secret", "default", "dataplane-token-signing-key-default-2"))
    key.write_bytes(stored.spec.data)
    made = await kumactl(
        *("generate", "dataplane-token", "--name", "a", "--kid", "2", "--signing-key-path", str(key)),
        *("--valid-for", "1h", "--no-config"),
    )
    assert (await api.key_ring()).verify_dataplane(made.out, "default", time.time() + 5).name == "a"
    half = await kumactl("generate", "dataplane-token", "--kid", "2")
    assert half.err == "Error: --kid and --signing-key-path go together; give both to sign offline\n"
    key.write_text("not a key")
    broken = await kumactl("generate", "public-key", "--signing-key-path", str(key))
    assert (broken.code, broken.err.count("\n")) == (1, 1)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("get", "dataplan"), 'unknown resource type "dataplan"; did you mean dataplane?'),
        (("gett", "meshes"), 'unknown command "gett" for "kumactl"; did you mean get?'),
        (("inspect", "service"), 'unknown command "service" for "kumactl inspect"; did you mean services?'),
        (("get", "meshes", "--offst", "1"), "No such option '--offst'. Did you mean '--offset'?"),
        (("generate", "zone-token"), "Missing option '--zone'."),
        (
            ("generate", "zone-token", "--zone", "z", "--scope", "admin"),
            'unknown scope "admin"; use ingress, egress, cp',
        ),
        (("generate", "dataplane-token", "--valid-for", "1 hour"), "Invalid value for '--valid-for'"),
        (
            ("generate", "dataplane-token", "--valid-for", "0s"),
            "--valid-for must be positive, and at most 100 years",
        ),
        (
            ("generate", "dataplane-token", "--tag", "a"),
            "the tag 'a' must have the form key=value[,value...]",
        ),
        (("get", "dataplanes", "-m", "nowhere"), 'there is no Mesh with name "nowhere"'),
        (("get", "secrets", "-m", "nowhere"), 'there is no Mesh with name "nowhere"'),
        (("inspect", "dataplanes", "-m", "nowhere"), 'there is no Mesh with name "nowhere"'),
        (("inspect", "services", "-m", "nowhere"), 'there is no Mesh with name "nowhere"'),
        (("apply", "-v", "x", "-f", "-"), "the variable 'x' must have the form name=value"),
        (("completion",), "Missing argument '{bash|zsh|fish}'. Choose from: bash, zsh, fish"),
    ],
)
async def test_mistakes_are_one_line(kumactl, args, message):
    ran = await kumactl(*args)
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith(f"Error: {message}")
    assert ran.err.count("\n") == 1


async def test_help_names_the_commands(kumactl):
    for args in ((), ("--help",), ("-h",)):
        ran = await kumactl(*args)
        assert (ran.code, ran.err) == (0, "")
        assert "inspect" in ran.out
    assert "control-planes" in (await kumactl("config")).out
    for args in (("get",), ("get", "-h"), ("delete",)):
        ran = await kumactl(*args)
        assert (ran.code, ran.err) == (0, "")
        assert "\nTypes:\n" in ran.out
        assert "\n  meshes\n" in ran.out
        assert ("\n  mesh-insights\n" in ran.out) == (args[0] == "get")


async def test_the_program_prints_fails_and_ends_like_the_command(kumactl):
    listed = await kumactl.program("get", "meshes", "-o", "json")
    assert (listed.code, listed.err) == (0, "")
    assert json.loads(listed.out)["total"] == 1
    refused = await kumactl.program("apply", "-f", "-", stdin="type: Mesh\nname: [a\n")
    assert (refused.code, refused.out) == (1, "")
    assert re.fullmatch(r"Error: stdin:\d+:\d+: .*\n", refused.err)
    token = await kumactl.program("generate", "dataplane-token", "--name", "a", "--valid-for", "1h")
    assert (token.code, token.err, token.out.count(".")) == (0, "", 2)


async def test_versions(api, kumactl):
    assert (await kumactl("version")).out == "Client: Kuma 2.13.0\nServer: Kuma 2.13.0\n"
    detailed = (await kumactl("version", "--detailed")).out
    assert "Git Commit:" in detailed
    assert "instance-1" in detailed
    await api.server.stop()
    alone = await kumactl("version")
    assert (alone.code, alone.out) == (0, "Client: Kuma 2.13.0\n")
    assert alone.err.startswith("Server: cannot reach the control plane")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
async def test_completion(tmp_path, shell):
    ran = await Kumactl(tmp_path)("completion", shell)
    assert ran.code == 0
    assert "_KUMACTL_COMPLETE" in ran.out


async def test_an_absent_control_plane_is_named_with_the_remedy(tmp_path):
    listener = listen("127.0.0.1", 0, port_variable="A", interface_variable="B")
    port = listener.getsockname()[1]
    listener.close()
    run = Kumactl(tmp_path)
    url = f"http://127.0.0.1:{port}"
    assert (
        await run("config", "control-planes", "add", "--name", "a", "--address", url, "--skip-check")
    ).code == 0
    ran = await run("get", "meshes")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith(
        f"Error: cannot reach the control plane at {url}: nobody listens there; start it with"
    )
    assert ran.err.count("\n") == 1


async def test_a_silent_control_plane_is_given_up_on(tmp_path):
    with listen("127.0.0.1", 0, port_variable="A", interface_variable="B") as listener:
        run = Kumactl(tmp_path)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        await run("config", "control-planes", "add", "--name", "a", "--address", url, "--skip-check")
        ran = await run("get", "meshes", "--api-timeout", "100ms")
    assert ran.code == 1
    assert "it does not answer in time (--api-timeout)" in ran.err


async def test_start_up_imports_only_what_a_command_needs():
    script = "import sys; import kumactl.cli; kumactl.cli.run(['--help']); print(*sys.modules)"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    loaded = {name.partition(".")[0] for name in out.decode().splitlines()[-1].split()}
    assert loaded.isdisjoint({"pydantic", "cryptography", "jwt", "aiohttp", "kumacp", "kumadp"})
