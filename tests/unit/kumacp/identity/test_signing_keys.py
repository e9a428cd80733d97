"""Which keys and revocations count, by the names of the secrets that hold them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kumacp.identity.signing_keys import (
    KeyRing,
    SigningKeyNotFound,
    TokenKind,
    parse_revocations,
    public_key_name,
    revocations_name,
    signing_key_name,
    stays_here,
)
from kumamesh import tokens
from kumamesh.resource import Resource, ResourceKey
from kumamesh.resources.secret import GlobalSecret, Secret
from kumamesh.tokens import DataplaneClaims, TokenError, UserClaims, ZoneClaims

NOW = 1_700_000_000.0
OLD, NEW = tokens.generate_signing_key(), tokens.generate_signing_key()


def secret(mesh: str, name: str, data: bytes) -> Resource:
    return Resource(ResourceKey("Secret", mesh, name), Secret(data=data))


def global_secret(name: str, data: bytes) -> Resource:
    return Resource(ResourceKey("GlobalSecret", "", name), GlobalSecret(data=data))


def test_names() -> None:
    assert signing_key_name(TokenKind.DATAPLANE, 1, "shop") == "dataplane-token-signing-key-shop-1"
    assert signing_key_name(TokenKind.DATAPLANE, 0, "shop") == "dataplane-token-signing-key-shop"
    assert signing_key_name(TokenKind.ZONE, 3) == "zone-token-signing-key-3"
    assert signing_key_name(TokenKind.USER, 3) == "user-token-signing-key-3"
    assert public_key_name(2) == "zone-token-signing-public-key-2"
    assert revocations_name(TokenKind.DATAPLANE, "shop") == "dataplane-token-revocations-shop"
    assert revocations_name(TokenKind.USER) == "user-token-revocations"


def test_all_serials_verify_and_the_highest_signs() -> None:
    ring = KeyRing(
        [
            secret("shop", "dataplane-token-signing-key-shop-9", OLD),
            secret("shop", "dataplane-token-signing-key-shop-10", NEW),
            secret("shop", "dataplane-token-signing-key-shop", OLD),
        ]
    )
    assert set(ring.dataplane_keys("shop")) == {"0", "9", "10"}
    assert ring.latest(TokenKind.DATAPLANE, "shop").kid == "10"
    token = tokens.issue(DataplaneClaims(name="w"), ring.latest(TokenKind.DATAPLANE, "shop"), now=NOW)
    assert ring.verify_dataplane(token, "shop", NOW).name == "w"


def test_meshes_do_not_share_keys() -> None:
    ring = KeyRing([secret("shop", "dataplane-token-signing-key-shop-1", OLD)])
    token = tokens.issue(DataplaneClaims(), ring.latest(TokenKind.DATAPLANE, "shop"), now=NOW)
    with pytest.raises(TokenError, match="no signing key with KID 1"):
        ring.verify_dataplane(token, "other", NOW)


def test_a_mesh_whose_name_ends_like_a_serial() -> None:
    ring = KeyRing([secret("shop-1", "dataplane-token-signing-key-shop-1", OLD)])
    assert set(ring.dataplane_keys("shop-1")) == {"0"}
    assert not ring.dataplane_keys("shop")


@pytest.mark.parametrize(
    "name",
    [
        "dataplane-token-signing-key-shop-",
        "dataplane-token-signing-key-shop-01",
        "dataplane-token-signing-key-shop-x",
        "dataplane-token-signing-key-other-1",
        "dataplane-token-signing-key-shop1",
        "my-dataplane-token-signing-key-shop-1",
    ],
)
def test_names_that_are_no_key(name: str) -> None:
    ring = KeyRing([secret("shop", name, OLD)])
    assert not ring.dataplane_keys("shop")
    assert ring.unreadable == ()


def test_zone_and_user_keys_are_global() -> None:
    ring = KeyRing(
        [
            global_secret("zone-token-signing-key-1", OLD),
            global_secret("user-token-signing-key-1", NEW),
            secret("shop", "zone-token-signing-key-2", NEW),
        ]
    )
    assert set(ring.zone_keys()) == {"1"}
    zone = tokens.issue(ZoneClaims("east", ("ingress",)), ring.latest(TokenKind.ZONE), now=NOW)
    assert ring.verify_zone(zone, NOW).zone == "east"
    user = tokens.issue(UserClaims("john"), ring.latest(TokenKind.USER), now=NOW)
    assert ring.verify_user(user, NOW).name == "john"


def test_a_zone_verifies_with_the_public_key_of_its_global() -> None:
    ring = KeyRing([global_secret(public_key_name(1), tokens.public_pem(OLD))])
    zone = tokens.issue(ZoneClaims("east"), tokens.SigningKey("1", OLD), now=NOW)
    assert ring.verify_zone(zone, NOW).zone == "east"
    with pytest.raises(SigningKeyNotFound, match="GlobalSecret named zone-token-signing-key-1"):
        ring.latest(TokenKind.ZONE)


def test_data_that_is_no_key_is_left_out_and_named() -> None:
    ring = KeyRing(
        [
            secret("shop", "dataplane-token-signing-key-shop-1", b"no key"),
            global_secret(public_key_name(1), b"no key"),
        ]
    )
    assert not ring.dataplane_keys("shop")
    assert not ring.zone_keys()
    assert ring.unreadable == ("dataplane-token-signing-key-shop-1", "zone-token-signing-public-key-1")


def test_static_keys() -> None:
    secrets = [secret("shop", "dataplane-token-signing-key-shop-1", OLD)]
    static = {"offline": tokens.public_pem(NEW)}
    both = KeyRing(secrets, static_dataplane_keys=static)
    alone = KeyRing(secrets, static_dataplane_keys=static, use_dataplane_secrets=False)
    assert set(both.dataplane_keys("shop")) == {"1", "offline"}
    assert set(alone.dataplane_keys("shop")) == {"offline"}
    token = tokens.issue(DataplaneClaims(name="w"), tokens.SigningKey("offline", NEW), now=NOW)
    assert alone.verify_dataplane(token, "any", NOW).name == "w"


def test_a_dataplane_token_can_be_revoked_in_the_mesh_and_globally() -> None:
    ring = KeyRing(
        [
            secret("shop", "dataplane-token-revocations-shop", b"a,b"),
            global_secret("dataplane-token-revocations-shop", b"c\n"),
            secret("other", "dataplane-token-revocations-shop", b"not-ours"),
            global_secret("zone-token-revocations", b"z"),
            global_secret("user-token-revocations", b"u"),
            secret("shop", "zone-token-revocations", b"not-global"),
        ]
    )
    assert ring.revocations_dataplane("shop") == {"a", "b", "c"}
    assert ring.revocations_dataplane("other") == frozenset()
    assert ring.revocations_zone() == {"z"}
    assert ring.revocations_user() == {"u"}


def test_revoked_tokens_are_refused() -> None:
    key = secret("shop", "dataplane-token-signing-key-shop-1", OLD)
    token = tokens.issue(DataplaneClaims(token_id="t"), tokens.SigningKey("1", OLD), now=NOW)
    assert KeyRing([key]).verify_dataplane(token, "shop", NOW).token_id == "t"
    ring = KeyRing([key, secret("shop", "dataplane-token-revocations-shop", b"t")])
    with pytest.raises(TokenError, match="token is revoked"):
        ring.verify_dataplane(token, "shop", NOW)


def test_no_key_to_sign_with() -> None:
    with pytest.raises(
        SigningKeyNotFound, match="Secret of mesh 'shop' named dataplane-token-signing-key-shop-1"
    ):
        KeyRing().latest(TokenKind.DATAPLANE, "shop")


@pytest.mark.parametrize(
    ("data", "ids"),
    [
        (b"", set()),
        (b"a", {"a"}),
        (b" a , b,\n", {"a", "b"}),
        (b"a\r\nb", {"a", "b"}),
        (b",,", set()),
        (b"\xff", {"\ufffd"}),
    ],
)
def test_revocation_lists(data: bytes, ids: set[str]) -> None:
    assert parse_revocations(data) == ids


@given(st.binary())
def test_any_data_is_a_revocation_list(data: bytes) -> None:
    assert "" not in parse_revocations(data)


def test_a_federated_zone_believes_the_keys_of_its_global_alone() -> None:
    secrets = [
        global_secret(signing_key_name(TokenKind.ZONE, 1), OLD),
        global_secret(signing_key_name(TokenKind.ZONE, 2), OLD),
        global_secret(public_key_name(1), tokens.public_pem(NEW)),
    ]
    assert KeyRing(secrets, federated=True).zone_keys() == {"1": tokens.public_pem(NEW)}
    alone = {kid: tokens.public_pem(OLD) for kid in ("1", "2")}
    assert KeyRing(secrets).zone_keys() == alone, "what a former global left behind counts less"


def test_zone_tokens_hold_in_a_zone_by_public_key_and_revocations() -> None:
    claims = ZoneClaims("zone-1", ("egress",), token_id="id-1")
    token = tokens.issue(claims, tokens.SigningKey("1", NEW), now=NOW)
    public = global_secret(public_key_name(1), tokens.public_pem(NEW))
    assert KeyRing([public], federated=True).verify_zone(token, NOW).zone == "zone-1"
    revoked = global_secret(revocations_name(TokenKind.ZONE), b"id-1")
    with pytest.raises(TokenError, match="token is revoked"):
        KeyRing([public, revoked], federated=True).verify_zone(token, NOW)


@pytest.mark.parametrize(
    ("name", "stays"),
    [
        ("admin-user-token", True),
        ("envoy-admin-ca", True),
        ("inter-cp-ca", True),
        ("user-token-revocations", True),
        ("user-token-signing-key", True),
        ("user-token-signing-key-7", True),
        ("zone-token-signing-key-1", False),
        ("zone-token-revocations", False),
        ("dataplane-token-revocations-default", False),
        ("my-secret", False),
    ],
)
def test_which_global_secrets_no_other_control_plane_is_sent(name: str, stays: bool) -> None:
    assert stays_here(name) is stays
