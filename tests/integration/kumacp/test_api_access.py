"""Who may do what over a real server, and the tokens it issues (contract 7.3, 7.5)."""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from multidict import CIMultiDict

from kumacp.identity.signing_keys import TokenKind
from kumamesh.resource import Resource, ResourceKey
from kumamesh.resources.secret import GlobalSecret
from kumamesh.tokens import SigningKey, UserClaims, generate_signing_key, issue
from running_api import RunningApi, running_api

AWAY = {"X-Forwarded-For": "10.0.0.9"}
"""Makes a request of this host one from elsewhere."""


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[RunningApi]:
    async with running_api(tmp_path) as running:
        yield running


async def call(
    api: RunningApi, method: str, path: str, *, body: Any = None, headers: dict[str, str] | None = None
) -> tuple[int, str]:
    data = None if body is None else json.dumps(body).encode()
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, api.http_url + path, data=data, headers=headers) as answer,
    ):
        return answer.status, await answer.text()


def bearer(token: str) -> dict[str, str]:
    return AWAY | {"Authorization": f"Bearer {token}"}


async def user_token(api: RunningApi, name: str, *groups: str, **settings: Any) -> str:
    key = (await api.key_ring()).latest(TokenKind.USER)
    return issue(UserClaims(name, groups), key, **({"now": time.time(), "valid_for_s": 60.0} | settings))


@pytest.mark.parametrize(
    "path", ["/meshes/default/secrets", "/secrets", "/global-secrets", "/global-secrets/admin-user-token"]
)
async def test_secrets_are_for_admins(api, path):
    assert (await call(api, "GET", path))[0] == 200
    status, text = await call(api, "GET", path, headers=AWAY)
    assert (status, json.loads(text)["title"]) == (403, "Access Denied")
    assert "data" not in json.loads(text)


async def test_secrets_are_written_by_admins_alone(api):
    body = {"type": "GlobalSecret", "name": "s", "data": "YWJj"}
    assert (await call(api, "PUT", "/global-secrets/s", body=body, headers=AWAY))[0] == 403
    assert (await call(api, "PUT", "/global-secrets/s", body=body))[0] == 201
    assert (await call(api, "DELETE", "/global-secrets/s", headers=AWAY))[0] == 403


async def test_the_rest_is_open(api):
    for path in ("/", "/meshes", "/config", "/meshes/default/dataplanes/_overview"):
        assert (await call(api, "GET", path, headers=AWAY))[0] == 200
    _, text = await call(api, "GET", "/who-am-i", headers=AWAY)
    assert json.loads(text) == {"name": "mesh-system:anonymous", "groups": ["mesh-system:unauthenticated"]}


async def test_a_page_of_another_site_is_not_the_admin(api):
    for headers in (
        {"Origin": "http://evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Host": "evil.example"},
    ):
        assert (await call(api, "GET", "/global-secrets", headers=headers))[0] == 403


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("Origin", ("http://evil.example", "{own}")),
        ("Origin", ("{own}", "http://evil.example")),
        ("Sec-Fetch-Site", ("cross-site", "none")),
        ("Sec-Fetch-Site", ("none", "cross-site")),
    ],
)
async def test_of_a_header_that_came_twice_both_values_count(api, name, values):
    headers = [(name, value.format(own=api.http_url)) for value in values]
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{api.http_url}/global-secrets", headers=CIMultiDict(headers)) as answer:
            assert answer.status == 403
        async with session.get(f"{api.http_url}/global-secrets", headers={"Origin": api.http_url}) as answer:
            assert answer.status == 200


async def test_two_tokens_are_none(api):
    token = await user_token(api, "ann")
    headers = CIMultiDict([("Authorization", "Bearer x"), ("Authorization", f"Bearer {token}")])
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{api.http_url}/who-am-i", headers=headers) as answer,
    ):
        assert answer.status == 401


async def test_localhost_is_the_admin_only_if_it_is_allowed(tmp_path):
    async with running_api(tmp_path, api_localhost_is_admin=False) as api:
        assert (await call(api, "GET", "/global-secrets"))[0] == 403


async def test_the_admin_token_opens_from_elsewhere(api):
    secret = await api.store.get(ResourceKey("GlobalSecret", "", "admin-user-token"))
    headers = bearer(secret.spec.data.decode())
    assert (await call(api, "GET", "/global-secrets", headers=headers))[0] == 200
    _, text = await call(api, "GET", "/who-am-i", headers=headers)
    assert json.loads(text)["groups"] == ["mesh-system:admin", "mesh-system:authenticated"]


async def test_a_user_of_another_group_is_no_admin(api):
    headers = bearer(await user_token(api, "ann", "team-a"))
    status, text = await call(api, "GET", "/global-secrets", headers=headers)
    assert status == 403
    assert 'user "ann/team-a,mesh-system:authenticated"' in json.loads(text)["detail"]


async def test_a_token_counts_more_than_the_place(api):
    headers = {"Authorization": f"Bearer {await user_token(api, 'ann')}"}
    _, text = await call(api, "GET", "/who-am-i", headers=headers)
    assert json.loads(text)["name"] == "ann"


async def test_wrong_tokens_are_refused_with_a_reason(api):
    good = await user_token(api, "ann")
    revoked_id = "revoked-1"
    key = (await api.key_ring()).latest(TokenKind.USER)
    await api.manager.put(
        Resource(
            ResourceKey("GlobalSecret", "", "user-token-revocations"), GlobalSecret(data=revoked_id.encode())
        )
    )
    now, foreign = time.time(), generate_signing_key()
    cases = {
        "not-a-token": "could not parse token",
        good[:-4] + "AAAA": "could not parse token",
        await user_token(api, "ann", now=now - 3600): "token is expired",
        issue(UserClaims("ann"), SigningKey("9", foreign), now=now): "no signing key with KID 9",
        issue(UserClaims("ann"), SigningKey("1", foreign), now=now): "signature",
        issue(UserClaims("ann", token_id=revoked_id), key, now=now): "token is revoked",
    }
    for token, reason in cases.items():
        status, text = await call(api, "GET", "/meshes", headers=bearer(token))
        assert (status, json.loads(text)["title"]) == (401, "Invalid authentication data")
        assert reason in json.loads(text)["detail"]
        assert token not in text
    assert (await call(api, "GET", "/meshes", headers=bearer(good)))[0] == 200


async def test_issued_tokens_are_genuine(api):
    now = time.time()
    body = {"name": "web-1", "mesh": "default", "tags": {"kuma.io/service": ["web"]}, "validFor": "1h"}
    status, token = await call(api, "POST", "/tokens/dataplane", body=body)
    assert status == 200
    claims = (await api.key_ring()).verify_dataplane(token, "default", now + 5)
    assert (claims.name, claims.mesh, claims.tags) == ("web-1", "default", {"kuma.io/service": ("web",)})
    assert claims.expires is not None
    assert abs(claims.expires - now - 3600) < 60

    _, token = await call(api, "POST", "/tokens/zone", body={"zone": "z", "scope": ["egress"]})
    zone = (await api.key_ring()).verify_zone(token, now + 5)
    assert (zone.zone, zone.scope) == ("z", ("egress",))
    assert zone.expires is not None
    assert abs(zone.expires - now - 10 * 365 * 86_400) < 60

    _, token = await call(
        api, "POST", "/tokens/user", body={"name": "ann", "groups": ["g"], "validFor": "1h"}
    )
    assert (await api.key_ring()).verify_user(token, now + 5).groups == ("g",)


async def test_a_token_of_a_mesh_made_a_moment_ago(api):
    assert (await call(api, "PUT", "/meshes/new", body={"type": "Mesh", "name": "new"}))[0] == 201
    status, token = await call(api, "POST", "/tokens/dataplane", body={"mesh": "new"})
    assert status == 200
    assert (await api.key_ring()).verify_dataplane(token, "new", time.time() + 5).mesh == "new"


async def test_tokens_are_issued_to_admins_alone(api):
    for kind in ("dataplane", "zone", "user"):
        assert (await call(api, "POST", f"/tokens/{kind}", body={}, headers=AWAY))[0] == 403


async def test_a_token_for_an_unknown_mesh(api):
    status, text = await call(api, "POST", "/tokens/dataplane", body={"mesh": "nowhere"})
    assert (status, json.loads(text)["title"]) == (404, "Signing Key not found")
    assert 'does the mesh "nowhere" exist?' in json.loads(text)["detail"]


async def test_an_issuer_may_be_off(tmp_path):
    async with running_api(tmp_path, dp_token_issuer=False, zone_token_issuer=False) as api:
        for kind in ("dataplane", "zone"):
            status, text = await call(api, "POST", f"/tokens/{kind}", body={"mesh": "default"})
            assert (status, json.loads(text)["title"]) == (404, "Could not issue a token")


async def test_https_serves_the_same(api):
    context = ssl.create_default_context(cafile=str(api.certificate))
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{api.https_url}/meshes?size=1", ssl=context) as answer,
    ):
        document = await answer.json()
    assert [item["name"] for item in document["items"]] == ["default"]
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{api.https_url}/who-am-i", ssl=context, headers={"Origin": api.https_url}) as answer,
    ):
        assert (await answer.json())["name"] == "mesh-system:admin"
