"""Tokens of proxies against their resources, at the start of a stream and later."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from kumacp.dpserver.auth import AuthModes, Credential, authenticate, authenticate_override, sole_token
from kumacp.dpserver.node import ProxyNode, ProxyType, parse_node
from kumacp.dpserver.refusal import Refused, Status
from kumacp.dpserver.token_watch import EXPIRED, REVOKED, TokenWatch
from kumacp.identity.signing_keys import KeyRing
from kumamesh.resource import Resource, ResourceKey
from kumamesh.resources.rest import from_rest
from kumamesh.resources.secret import GlobalSecret, Secret
from kumamesh.tokens import (
    Claims,
    DataplaneClaims,
    SigningKey,
    ZoneClaims,
    generate_signing_key,
    issue,
    public_pem,
)

NOW = 1_800_000_000.0
FIRST, SECOND = generate_signing_key(), generate_signing_key()
NODE = parse_node("default.web-1", {})
INGRESS = parse_node(".in-1", {"dataplane.proxyType": "ingress"})


def secret(name: str, data: bytes) -> Resource:
    return Resource(ResourceKey("Secret", "default", name), Secret(data=data))


def ring(
    keys: Mapping[int, bytes] | None = None, revoked: str = "", static: Mapping[str, bytes] | None = None
) -> KeyRing:
    keys = {1: FIRST} if keys is None else keys
    secrets = [secret(f"dataplane-token-signing-key-default-{serial}", data) for serial, data in keys.items()]
    secrets.append(secret("dataplane-token-revocations-default", revoked.encode()))
    zone_key = ResourceKey("GlobalSecret", "", "zone-token-signing-key-1")
    secrets.append(Resource(zone_key, GlobalSecret(data=FIRST)))
    return KeyRing(secrets, static_dataplane_keys=static or {})


def dataplane(service: str = "web") -> Resource:
    inbound = {"port": 8080, "tags": {"kuma.io/service": service}}
    networking = {"address": "10.0.0.1", "inbound": [inbound]}
    return from_rest({"type": "Dataplane", "mesh": "default", "name": "web-1", "networking": networking})


def token(
    claims: Claims | None = None, *, key: bytes = FIRST, kid: str = "1", valid_for_s: float = 60.0
) -> str:
    claims = claims or DataplaneClaims(name="web-1", mesh="default", token_id="t-1")
    return issue(claims, SigningKey(kid, key), now=NOW, valid_for_s=valid_for_s)


def admit(text: str, keys: KeyRing | None = None, node: ProxyNode = NODE) -> Credential:
    return authenticate(node, [text], keys or ring(), dataplane(), zone="north", now=NOW)


def test_a_good_token_gives_a_credential_that_hides_it() -> None:
    text = token()
    credential = admit(text)
    assert credential.claims.token_id == "t-1"
    assert (credential.kid, credential.key) == ("1", public_pem(FIRST))
    assert text not in repr(credential)


def test_a_refusal_never_repeats_the_token() -> None:
    text = token(key=SECOND)
    with pytest.raises(Refused) as caught:
        admit(text)
    assert text not in str(caught.value)
    assert caught.value.status is Status.UNAUTHENTICATED


def test_one_token_at_most() -> None:
    assert sole_token([]) == ""
    assert sole_token(["a"]) == "a"
    with pytest.raises(Refused, match="got 3"):
        sole_token(["a", "a", "a"])


def test_tags_must_be_allowed() -> None:
    tags = {"kuma.io/service": ("web", "api")}
    admit(token(DataplaneClaims(tags=tags)))
    with pytest.raises(Refused, match="not allowed with this token") as caught:
        admit(token(DataplaneClaims(tags={"kuma.io/service": ("api",)})))
    assert caught.value.fault == "denied"


def test_an_ingress_needs_its_scope_and_zone() -> None:
    good = token(ZoneClaims(zone="north", scope=("ingress",)))
    admit(good, node=INGRESS)
    for claims in (ZoneClaims(scope=("egress",)), ZoneClaims(zone="south", scope=("ingress",))):
        with pytest.raises(Refused) as caught:
            admit(token(claims), node=INGRESS)
        assert caught.value.fault == "denied"


def test_static_keys_count_in_every_mesh() -> None:
    keys = ring({}, static={"offline": public_pem(SECOND)})
    admit(token(key=SECOND, kid="offline"), keys)


def test_only_what_the_token_covers_can_be_overridden() -> None:
    credential = admit(token(DataplaneClaims(tags={"kuma.io/service": ("web",)})))
    authenticate_override(credential, ProxyType.DATAPLANE, dataplane(), zone="north")
    with pytest.raises(Refused, match="override existing proxy") as caught:
        authenticate_override(credential, ProxyType.DATAPLANE, dataplane("backend"), zone="north")
    assert caught.value.status is Status.PERMISSION_DENIED


def test_modes_that_need_no_token() -> None:
    modes = AuthModes(dataplane="none", zone_proxy="zoneToken")
    assert not modes.required(ProxyType.DATAPLANE)
    assert modes.required(ProxyType.EGRESS)


def watch(**tokens: str) -> TokenWatch[str]:
    watched: TokenWatch[str] = TokenWatch()
    for stream, text in tokens.items():
        watched.add(stream, admit(text))
    return watched


def test_the_earliest_expiry_is_watched() -> None:
    watched = watch(long=token(valid_for_s=60.0), short=token(valid_for_s=10.0))
    assert watched.next_at() == NOW + 10
    assert watched.expired(NOW + 9.9) == []
    assert watched.expired(NOW + 10) == [("short", EXPIRED)]
    assert watched.next_at() == NOW + 60


def test_a_stream_that_left_is_not_watched() -> None:
    watched = watch(gone=token())
    watched.remove("gone")
    assert watched.next_at() is None
    assert watched.review(ring({}), NOW) == []


def test_a_revoked_token_is_found_once() -> None:
    watched = watch(bad=token(), good=token(DataplaneClaims(token_id="t-2")))
    revoked = ring(revoked="t-9, t-1")
    assert watched.review(revoked, NOW) == [("bad", REVOKED)]
    assert watched.review(revoked, NOW) == []


def test_a_token_outlives_new_keys_but_not_its_own() -> None:
    watched = watch(stream=token())
    assert watched.review(ring({1: FIRST, 2: SECOND}), NOW) == []
    ((stream, reason),) = watched.review(ring({2: SECOND}), NOW)
    assert stream == "stream"
    assert "no signing key with KID 1" in reason


def test_another_key_of_the_same_kid_is_another_key() -> None:
    watched = watch(stream=token())
    ((_, reason),) = watched.review(ring({1: SECOND}), NOW)
    assert "signature does not match" in reason
