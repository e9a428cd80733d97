"""The configuration file of kumactl, by its commands (contract 9.7)."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import yaml

from kumamesh.resource import ResourceKey
from running_api import Kumactl, RunningApi, running_api

ADD = ("config", "control-planes", "add")
LIST = ("config", "control-planes", "list")


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[RunningApi]:
    async with running_api(tmp_path / "cp") as running:
        yield running


@pytest.fixture
def kumactl(tmp_path: Path) -> Kumactl:
    return Kumactl(tmp_path)


async def test_the_documented_command_makes_the_control_plane_the_active_one(api, kumactl):
    address = api.http_url
    added = await kumactl(*ADD, "--name", "global-control-plane", "--address", address, "--skip-verify")
    assert added.code == 0
    assert added.out.splitlines() == [
        'added Control Plane "global-control-plane"',
        'switched active Control Plane to "global-control-plane"',
    ]
    listed = await kumactl(*LIST)
    assert listed.out.splitlines() == [
        "ACTIVE   NAME                   ADDRESS",
        "         local                  http://localhost:5681",
        f"*        global-control-plane   {address}",
    ]
    assert (await kumactl("get", "meshes")).code == 0
    await api.server.stop()
    again = await kumactl(*ADD, "--name", "other", "--address", address, "--skip-verify")
    assert again.code == 0


async def test_the_file_is_its_owners_alone(api, kumactl, tmp_path):
    file = tmp_path / "dir" / "config"
    await kumactl("--config-file", str(file), *ADD, "--name", "a", "--address", api.http_url)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert os.listdir(file.parent) == ["config"]
    document = yaml.safe_load(file.read_text())
    assert document["currentContext"] == "a"
    assert document["controlPlanes"][1] == {"name": "a", "coordinates": {"apiServer": {"url": api.http_url}}}
    assert not (tmp_path / ".kumactl").exists()


async def test_switch_and_remove(api, kumactl):
    await kumactl(*ADD, "--name", "a", "--address", api.http_url)
    switched = await kumactl("config", "control-planes", "switch", "--name", "local")
    assert switched.out == 'switched active Control Plane to "local"\n'
    await kumactl("config", "control-planes", "switch", "--name", "a")
    removed = await kumactl("config", "control-planes", "remove", "--name", "a")
    assert removed.out.splitlines() == [
        'removed Control Plane "a"',
        'switched active Control Plane to "local"',
    ]
    wrong = await kumactl("config", "control-planes", "remove", "--name", "locale")
    assert wrong.err == 'Error: there is no Control Plane with name "locale"; did you mean local?\n'


async def test_adding_twice_needs_overwrite(api, kumactl):
    args = (*ADD, "--name", "a", "--address", api.http_url)
    await kumactl(*args)
    twice = await kumactl(*args)
    assert twice.code == 1
    assert "already exists. Use --overwrite" in twice.err
    assert (await kumactl(*args, "--overwrite")).code == 0


async def test_adding_checks_that_it_is_a_control_plane(api, kumactl, tmp_path):
    unreachable = await kumactl(*ADD, "--name", "a", "--address", "http://127.0.0.1:1")
    assert unreachable.code == 1
    assert "nobody listens there" in unreachable.err
    wrong = await kumactl(*ADD, "--name", "a", "--address", "localhost:5681")
    assert 'the address "localhost:5681" is not valid' in wrong.err
    for url in (f"{api.http_url}/nowhere", f"{api.http_url}/meshes"):
        elsewhere = await kumactl(*ADD, "--name", "a", "--address", url)
        assert (elsewhere.code, elsewhere.err) == (
            1,
            f"Error: {url} is not the REST API of a Kuma control plane; its usual address is "
            "http://localhost:5681\n",
        )
    for right, wrong in (("https:", "http:"), ("http:", "https:")):
        url = (api.https_url if wrong == "http:" else api.http_url).replace(right, wrong)
        elsewhere = await kumactl(*ADD, "--name", "a", "--address", url)
        assert re.match(r"Error: cannot reach .* https; start it", elsewhere.err), elsewhere.err
    assert not (tmp_path / ".kumactl").exists()


async def test_https_needs_trust(api, kumactl):
    args = (*ADD, "--name", "a", "--address", api.https_url, "--overwrite")
    refused = await kumactl(*args)
    assert refused.code == 1
    assert f"the certificate of the control plane at {api.https_url} is not trusted" in refused.err
    assert "name the file of its CA with --ca-cert-file" in refused.err
    assert (await kumactl(*args, "--ca-cert-file", str(api.certificate))).code == 0
    assert (await kumactl("get", "meshes")).code == 0
    assert (await kumactl(*args, "--skip-verify")).code == 0
    assert (await kumactl("get", "meshes")).code == 0
    missing = await kumactl(*args, "--ca-cert-file", "/nowhere.pem")
    assert "cannot load the certificate files /nowhere.pem" in missing.err


async def test_a_token_is_sent_and_never_shown(api, kumactl):
    secret = await api.store.get(ResourceKey("GlobalSecret", "", "admin-user-token"))
    token = secret.spec.data.decode()
    added = await kumactl(
        *(*ADD, "--name", "a", "--address", api.http_url, "--headers", "X-Forwarded-For=10.0.0.1"),
        *("--auth-type=tokens", "--auth-conf", f"token={token}"),
    )
    assert added.code == 0
    assert (await kumactl("get", "global-secrets")).code == 0
    viewed = await kumactl("config", "view")
    assert "*****" in viewed.out
    debugged = await kumactl("get", "global-secrets", "--log-level", "debug")
    for text in (added.out, added.err, viewed.out, debugged.err):
        assert token not in text

    wrong = await kumactl(
        *(*ADD, "--name", "a", "--address", api.http_url, "--overwrite"),
        *("--auth-type=tokens", "--auth-conf", f"token={token[:-6]}AAAAAA"),
    )
    assert wrong.code == 1
    assert wrong.err.startswith("Error: Invalid authentication data (could not parse token")


async def test_without_a_token_from_elsewhere_secrets_are_denied(api, kumactl):
    await kumactl(*ADD, "--name", "a", "--address", api.http_url, "--headers", "X-Forwarded-For=10.0.0.1")
    denied = await kumactl("get", "global-secrets")
    assert denied.code == 1
    assert denied.err.startswith('Error: Access Denied (user "mesh-system:anonymous/')


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\na: 2", 'config:2:1: the key "a" is given twice'),
        ("curentContext: a", "unknown key curentContext; did you mean currentContext?"),
        ("controlPlanes: {}\ncontexts: 5", "contexts must be a list"),
        ("a: 1\n---\nb: 2", "must hold one document, not 2"),
    ],
)
async def test_a_broken_file_is_one_line(kumactl, tmp_path, text, message):
    file = tmp_path / "config"
    file.write_text(text)
    ran = await kumactl("config", "view", "--config-file", str(file))
    assert ran.code == 1
    assert message in ran.err
    assert (str(file) in ran.err, ran.err.count("\n")) == (True, 1)


async def test_an_unwritable_place_is_one_line(kumactl, tmp_path):
    (tmp_path / "file").write_text("")
    path = tmp_path / "file" / "config"
    ran = await kumactl(
        *ADD, "--name", "a", "--address", "http://a", "--skip-check", "--config-file", str(path)
    )
    assert (ran.code, ran.err.count("\n")) == (1, 1)
    assert str(path) in ran.err


async def test_no_config_neither_reads_nor_writes(kumactl, tmp_path):
    (tmp_path / ".kumactl").mkdir()
    (tmp_path / ".kumactl" / "config").write_text("broken: [")
    assert "http://localhost:5681" in (await kumactl("config", "view", "--no-config")).out
    ran = await kumactl(*ADD, "--name", "a", "--address", "http://a", "--skip-check", "--no-config")
    assert "cannot be remembered with --no-config" in ran.err
