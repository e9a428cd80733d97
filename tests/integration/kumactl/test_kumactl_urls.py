"""`kumactl apply` of what other servers hold (kuma-cp 8.3)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from kumamesh.resources.yamldoc import MAX_BYTES
from running_api import Kumactl, running_api

FILES = {
    "mesh.yaml": b"type: Mesh\nname: {{ name }}\n",
    "broken.yaml": b"type: [\n",
    "latin.yaml": b"name: \xe4\n",
    "large.yaml": b"#" * (MAX_BYTES + 1),
}


async def _file(request: web.Request) -> web.Response:
    name = request.match_info["name"]
    if name == "moved.yaml":
        raise web.HTTPFound("mesh.yaml")
    if name == "loop.yaml":
        raise web.HTTPFound("loop.yaml")
    if name not in FILES:
        raise web.HTTPNotFound
    return web.Response(body=FILES[name])


@pytest.fixture
async def url() -> AsyncIterator[str]:
    application = web.Application()
    application.router.add_get("/{name}", _file)
    async with TestServer(application) as server:
        yield f"http://127.0.0.1:{server.port}"


@pytest.fixture
def kumactl(tmp_path: Path) -> Kumactl:
    return Kumactl(tmp_path)


@pytest.mark.parametrize("name", ["mesh.yaml", "moved.yaml"])
async def test_what_a_url_holds_is_applied(kumactl, tmp_path, url, name):
    async with running_api(tmp_path / "cp") as api:
        await kumactl("config", "control-planes", "add", "--name", "a", "--address", api.http_url)
        applied = await kumactl("apply", "-f", f"{url}/{name}", "-v", "name=m")
        assert (applied.code, applied.out) == (0, 'resource type="Mesh" name="m" Created\n')


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("gone.yaml?token=secret", "cannot read {url}/gone.yaml: the server answered with status 404"),
        ("large.yaml", "cannot read {url}/large.yaml: it is larger than 10 MiB"),
        ("latin.yaml", "cannot read {url}/latin.yaml: it is not UTF-8 text"),
        ("loop.yaml", "cannot read {url}/loop.yaml: too many redirects"),
        ("broken.yaml", "{url}/broken.yaml:2:1: "),
    ],
)
async def test_what_cannot_be_used_is_one_line(kumactl, url, name, reason):
    ran = await kumactl("apply", "--dry-run", "-f", f"{url}/{name}")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith(f"Error: {reason.format(url=url)}")
    assert ran.err.count("\n") == 1


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://ann:secret@127.0.0.1:1/a", "cannot read http://127.0.0.1:1/a: nobody listens there"),
        ("http://", "cannot read http://: No host specified."),
    ],
)
async def test_a_server_that_is_not_there_is_one_line(kumactl, url, reason):
    ran = await kumactl("apply", "-f", url)
    assert (ran.code, ran.err) == (1, f"Error: {reason}\n")
