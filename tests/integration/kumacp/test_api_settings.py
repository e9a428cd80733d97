"""What an operator can set about the REST API (contract 7.5, 9.1; kuma-cp 1.3)."""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from kumamesh.errors import UserError
from kumamesh.tokens import SigningKey, UserClaims, generate_signing_key, issue, public_pem
from mesh_pki import Pki
from running_api import RunningApi, running_api

AWAY = {"X-Forwarded-For": "10.0.0.9"}
EVIL = "https://evil.example"
ZONE = {"type": "Zone", "name": "east"}


async def call(
    api: RunningApi,
    method: str,
    path: str,
    *,
    body: Any = None,
    headers: dict[str, str] | None = None,
    secure: ssl.SSLContext | None = None,
) -> tuple[int, Any, dict[str, str]]:
    url = (api.https_url if secure else api.http_url) + path
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, url, json=body, headers=headers, ssl=secure or True) as answer,
    ):
        text = await answer.text()
        document = json.loads(text) if "json" in answer.content_type and text else text
        return answer.status, document, dict(answer.headers)


async def me(api: RunningApi, **how: Any) -> str:
    return (await call(api, "GET", "/who-am-i", **how))[1]["name"]


async def test_a_read_only_api_changes_nothing(tmp_path):
    async with running_api(tmp_path, api_read_only=True) as api:
        for method in ("PUT", "DELETE"):
            status, document, headers = await call(api, method, "/meshes/default", body={})
            assert (status, document["title"]) == (405, "Method not allowed")
            assert "read-only (KUMA_API_SERVER_READ_ONLY)" in document["detail"]
            assert headers["Allow"] == "GET, HEAD"
        assert (await call(api, "GET", "/meshes/default"))[0] == 200
        types = (await call(api, "GET", "/_resources"))[1]["resources"]
        assert all(each["readOnly"] for each in types)
        body = {"name": "ann", "validFor": "1h"}
        assert (await call(api, "POST", "/tokens/user", body=body))[0] == 200


@pytest.mark.parametrize("base", ["/kuma", "kuma/", "/a/b-c"])
async def test_everything_is_below_the_base_path(tmp_path, base):
    prefix = "/" + base.strip("/")
    async with running_api(tmp_path, api_base_path=base) as api:
        assert (await call(api, "GET", prefix))[1]["product"] == "Kuma"
        assert (await call(api, "PUT", f"{prefix}/zones/east", body=ZONE))[0] == 201
        assert (await call(api, "PUT", f"{prefix}/zones/west", body=ZONE | {"name": "west"}))[0] == 201
        _, page, _ = await call(api, "GET", f"{prefix}/zones?size=1")
        assert page["next"] == f"{api.http_url}{prefix}/zones?offset=1&size=1"
        for path in ("/", "/zones", "/kumax/zones"):
            status, document, _ = await call(api, "GET", path)
            assert (status, document["detail"]) == (404, f"this API is below {prefix}")


@pytest.mark.parametrize("base", ["/a b", "/..", "/a//b", "/a?b", "/%2e"])
async def test_a_base_path_that_is_none(tmp_path, base):
    with pytest.raises(UserError, match="KUMA_API_SERVER_BASE_PATH"):
        async with running_api(tmp_path, api_base_path=base):
            pass


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[RunningApi]:
    async with running_api(tmp_path) as running:
        yield running


async def test_pages_of_other_sites_may_read_what_everybody_may(api):
    status, _, headers = await call(api, "GET", "/meshes", headers={"Origin": EVIL})
    assert (status, headers["Access-Control-Allow-Origin"], headers["Vary"]) == (200, EVIL, "Origin")
    assert "ETag" in headers["Access-Control-Expose-Headers"]
    assert "Access-Control-Allow-Credentials" not in headers
    status, _, headers = await call(api, "GET", "/nothing", headers={"Origin": EVIL})
    assert (status, headers["Access-Control-Allow-Origin"]) == (404, EVIL)
    assert "Access-Control-Allow-Origin" not in (await call(api, "GET", "/meshes"))[2]


async def test_a_browser_is_told_what_a_page_may_send(api):
    asked = {"Origin": EVIL, "Access-Control-Request-Method": "PUT"}
    status, text, headers = await call(api, "OPTIONS", "/meshes/default", headers=asked)
    assert (status, text) == (204, "")
    assert headers["Access-Control-Allow-Methods"] == "GET, HEAD, PUT, DELETE"
    assert headers["Access-Control-Allow-Origin"] == EVIL
    assert "Authorization" in headers["Access-Control-Allow-Headers"]
    assert "If-Match" in headers["Access-Control-Allow-Headers"]
    assert (await call(api, "OPTIONS", "/nothing", headers=asked))[0] == 404
    assert (await call(api, "OPTIONS", "/meshes/default", headers={"Origin": EVIL}))[0] == 405


async def test_a_page_of_another_site_is_nobody(api):
    for origin in (EVIL, "null", "http://localhost:1", "http://127.0.0.1.evil.example"):
        assert await me(api, headers={"Origin": origin}) == "mesh-system:anonymous"
        assert (await call(api, "GET", "/global-secrets", headers={"Origin": origin}))[0] == 403


async def test_only_pages_of_these_domains(tmp_path):
    domains = (r"https://.*\.mesh\.example", "console.example")
    async with running_api(tmp_path, api_cors_allowed_domains=domains) as api:
        for origin in ("https://a.mesh.example", "http://console.example:8080"):
            _, _, headers = await call(api, "GET", "/meshes", headers={"Origin": origin})
            assert headers["Access-Control-Allow-Origin"] == origin
        for origin in (
            EVIL,
            "https://a.mesh.example.evil",
            "https://xconsole.example",
            "http://[",
            "x" * 600,
        ):
            asked = {"Origin": origin, "Access-Control-Request-Method": "PUT"}
            _, _, headers = await call(api, "GET", "/meshes", headers=asked)
            assert "Access-Control-Allow-Origin" not in headers
            assert headers["Vary"] == "Origin"
            assert (await call(api, "OPTIONS", "/meshes/default", headers=asked))[0] == 405


async def test_a_domain_that_is_no_expression(tmp_path):
    with pytest.raises(
        UserError, match=r"KUMA_API_SERVER_CORS_ALLOWED_DOMAINS: '\(' is no regular expression"
    ):
        async with running_api(tmp_path, api_cors_allowed_domains=("(",)):
            pass


class People:
    """A folder of trusted client certificates, and contexts to show one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "trusted"
        self.folder.mkdir()
        self._scratch = folder
        self.authority = Pki.create("people")

    def trust(self, name: str, certificate: bytes) -> None:
        (self.folder / name).write_bytes(certificate)

    def context(self, api: RunningApi, pair: tuple[bytes, bytes] | None = None) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(api.certificate))
        if pair is not None:
            file = self._scratch / "client.pem"
            file.write_bytes(pair[0] + pair[1])
            context.load_cert_chain(file)
        return context


@pytest.fixture
def people(tmp_path: Path) -> People:
    return People(tmp_path)


@pytest.mark.parametrize("authn", ["tokens", "adminClientCerts"])
async def test_who_shows_a_trusted_certificate_is_admin(tmp_path, people, authn):
    ann, bob = people.authority.identity("ann"), Pki.create("others").identity("bob")
    people.trust("authority.pem", people.authority.ca)
    people.trust("bob.crt", bob[0])
    people.trust("notes.txt", b"not a certificate")
    settings = {
        "api_client_certs_dir": people.folder,
        "api_localhost_is_admin": False,
        "api_authn_type": authn,
    }
    async with running_api(tmp_path, **settings) as api:
        for pair in (ann, bob):
            secure = people.context(api, pair)
            assert await me(api, secure=secure) == "mesh-system:admin"
            assert (await call(api, "GET", "/global-secrets", secure=secure))[0] == 200
            for headers in ({"Origin": EVIL}, {"Sec-Fetch-Site": "cross-site"}):
                assert await me(api, secure=secure, headers=headers) == "mesh-system:anonymous"
        assert await me(api, secure=people.context(api)) == "mesh-system:anonymous"
        assert await me(api) == "mesh-system:anonymous"
        stranger = people.context(api, Pki.create("others").identity("eve"))
        with pytest.raises((aiohttp.ClientError, OSError)):
            await me(api, secure=stranger)


async def test_a_certificate_may_be_required(tmp_path, people):
    people.trust("authority.pem", people.authority.ca)
    settings = {"api_client_certs_dir": people.folder, "api_https_require_client_cert": True}
    async with running_api(tmp_path, **settings) as api:
        with pytest.raises((aiohttp.ClientError, OSError)):
            await me(api, secure=people.context(api))
        secure = people.context(api, people.authority.identity("ann"))
        assert await me(api, secure=secure) == "mesh-system:admin"
        assert await me(api, headers=AWAY) == "mesh-system:anonymous"


async def test_changes_of_the_folder_count_for_the_next_connection(tmp_path, people):
    other = Pki.create("others")
    people.trust("authority.pem", people.authority.ca)
    async with running_api(tmp_path, api_client_certs_dir=people.folder) as api:
        with pytest.raises((aiohttp.ClientError, OSError)):
            await me(api, secure=people.context(api, other.identity("bob")))
        people.trust("others.pem", other.ca)
        assert await me(api, secure=people.context(api, other.identity("bob"))) == "mesh-system:admin"
        (people.folder / "others.pem").unlink()
        with pytest.raises((aiohttp.ClientError, OSError)):
            await me(api, secure=people.context(api, other.identity("bob")))
        people.trust("broken.pem", b"half written")
        secure = people.context(api, people.authority.identity("ann"))
        assert await me(api, secure=secure) == "mesh-system:admin"


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"api_client_certs_dir": Path("/nowhere")}, "correct KUMA_API_SERVER_AUTH_CLIENT_CERTS_DIR"),
        ({"api_https_require_client_cert": True}, "needs KUMA_API_SERVER_AUTH_CLIENT_CERTS_DIR"),
    ],
)
async def test_certificates_that_are_not_there(tmp_path, settings, told):
    with pytest.raises(UserError, match=told):
        async with running_api(tmp_path, **settings):
            pass


async def test_a_file_that_is_no_certificate(tmp_path, people):
    people.trust("a.pem", b"not a certificate")
    with pytest.raises(UserError, match="keep only PEM certificates there"):
        async with running_api(tmp_path, api_client_certs_dir=people.folder):
            pass


async def test_without_user_tokens_none_is_taken_or_made(tmp_path):
    async with running_api(tmp_path, api_authn_type="adminClientCerts") as api:
        assert await me(api) == "mesh-system:admin"
        token = {"Authorization": "Bearer a.b.c"}
        status, document, _ = await call(api, "GET", "/meshes", headers=token)
        assert (status, document["title"]) == (401, "Invalid authentication data")
        assert "show a client certificate" in document["detail"]
        status, document, _ = await call(api, "POST", "/tokens/user", body={"name": "ann", "validFor": "1h"})
        assert (status, document["title"]) == (404, "Could not issue a token")


async def test_the_issuer_of_user_tokens_may_be_off(tmp_path):
    async with running_api(tmp_path, user_token_issuer=False) as api:
        body = {"name": "ann", "validFor": "1h"}
        status, document, _ = await call(api, "POST", "/tokens/user", body=body)
        assert (status, document["title"]) == (404, "Could not issue a token")


async def test_user_tokens_signed_offline(tmp_path):
    private = generate_signing_key()
    (tmp_path / "public.pem").write_bytes(public_pem(private))
    offline = issue(UserClaims("ann"), SigningKey("offline", private), now=time.time(), valid_for_s=60.0)
    settings = {
        "user_token_public_keys": (f"offline={tmp_path / 'public.pem'}",),
        "user_token_validator_use_secrets": False,
    }
    async with running_api(tmp_path, **settings) as api:
        headers = {"Authorization": f"Bearer {offline}"}
        assert await me(api, headers=headers) == "ann"
        _, online, _ = await call(api, "POST", "/tokens/user", body={"name": "bob", "validFor": "1h"})
        status, document, _ = await call(
            api, "GET", "/who-am-i", headers={"Authorization": f"Bearer {online}"}
        )
        assert status == 401
        assert "there is no signing key with KID 1" in document["detail"]


async def test_lists_decide_who_may_do_what(tmp_path):
    settings = {
        "admin_resources_groups": ("readers",),
        "generate_zone_token_users": ("ann",),
        "control_plane_metadata_groups": ("readers",),
    }
    async with running_api(tmp_path, **settings) as api:
        _, token, _ = await call(
            api, "POST", "/tokens/user", body={"name": "ann", "groups": ["readers"], "validFor": "1h"}
        )
        ann = AWAY | {"Authorization": f"Bearer {token}"}
        order = {"zone": "z", "scope": ["egress"]}
        assert (await call(api, "GET", "/global-secrets", headers=ann))[0] == 200
        assert (await call(api, "POST", "/tokens/zone", body=order, headers=ann))[0] == 200
        assert (await call(api, "POST", "/tokens/dataplane", body={"mesh": "default"}, headers=ann))[0] == 403
        assert (await call(api, "GET", "/config", headers=ann))[0] == 200
        status, document, _ = await call(api, "GET", "/config", headers=AWAY)
        assert (status, document["title"]) == (403, "Access Denied")
        assert (await call(api, "GET", "/policies", headers=AWAY))[0] == 200
