"""Tokens: what is issued, what is accepted, what is refused and with which words."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import json
import uuid
from typing import Any, ClassVar

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from hypothesis import given, settings
from hypothesis import strategies as st

from kumamesh import tokens
from kumamesh.jwt_peek import MAX_TOKEN_CHARS, MalformedToken, peek
from kumamesh.tokens import DataplaneClaims, SigningKey, TokenError, UserClaims, ZoneClaims

NOW = 1_700_000_000.0
NOTHING_REVOKED: frozenset[str] = frozenset()
PRIVATE = tokens.generate_signing_key()
OTHER_PRIVATE = tokens.generate_signing_key()
SIGNER = serialization.load_pem_private_key(PRIVATE, None)
assert isinstance(SIGNER, rsa.RSAPrivateKey)
KEY = SigningKey("1", PRIVATE)
KEYS = {"1": tokens.public_pem(PRIVATE)}
CLAIMS = DataplaneClaims(
    name="web-1", mesh="default", tags={"kuma.io/service": ("web", "web-admin")}, type="dataplane"
)
TOKEN = tokens.issue(CLAIMS, KEY, now=NOW, valid_for_s=60)


def encode(value: Any) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def signed(header: Any, payload: Any) -> str:
    """A token that is genuinely signed, whatever stands in it."""
    body = f"{encode(header)}.{encode(payload)}"
    return f"{body}.{encode(SIGNER.sign(body.encode(), padding.PKCS1v15(), hashes.SHA256()))}"


def verify(token: str, now: float = NOW, revoked: frozenset[str] = NOTHING_REVOKED) -> DataplaneClaims:
    return tokens.verify_dataplane(token, KEYS, revoked, now)


def refusal(token: str, now: float = NOW, revoked: frozenset[str] = NOTHING_REVOKED) -> str:
    with pytest.raises(TokenError) as caught:
        verify(token, now, revoked)
    assert not caught.value.denied
    return str(caught.value)


class TestIssue:
    def test_wire_form(self) -> None:
        header, claims = peek(tokens.issue(CLAIMS, KEY, now=NOW + 0.7, valid_for_s=60))
        assert header == {"alg": "RS256", "typ": "JWT", "kid": "1"}
        uuid.UUID(claims.pop("jti"))
        assert claims == {
            "Name": "web-1",
            "Mesh": "default",
            "Tags": {"kuma.io/service": ["web", "web-admin"]},
            "Type": "dataplane",
            "Workload": "",
            "iat": NOW,
            "nbf": NOW - 5,
            "exp": NOW + 61,
        }

    def test_empty_claims_are_present(self) -> None:
        _, dataplane = peek(tokens.issue(DataplaneClaims(), KEY, now=NOW, valid_for_s=60))
        _, zone = peek(tokens.issue(ZoneClaims(), KEY, now=NOW, valid_for_s=60))
        _, user = peek(tokens.issue(UserClaims(), KEY, now=NOW, valid_for_s=60))
        assert (dataplane["Name"], dataplane["Tags"]) == ("", None)
        assert (zone["Zone"], zone["Scope"]) == ("", None)
        assert (user["Name"], user["Groups"]) == ("", None)

    def test_a_given_id_is_kept_and_others_differ(self) -> None:
        assert verify(tokens.issue(DataplaneClaims(token_id="x"), KEY, now=NOW)).token_id == "x"
        ids = {verify(tokens.issue(CLAIMS, KEY, now=NOW)).token_id for _ in range(3)}
        assert len(ids) == 3

    @pytest.mark.parametrize("pem", [b"", b"no key", tokens.public_pem(PRIVATE)])
    def test_a_key_that_cannot_sign(self, pem: bytes) -> None:
        with pytest.raises(ValueError, match="RSA private key"):
            tokens.issue(CLAIMS, SigningKey("1", pem), now=NOW)

    def test_the_private_key_is_not_in_the_repr(self) -> None:
        assert "PRIVATE" not in repr(KEY)

    def test_key_forms(self) -> None:
        assert PRIVATE.startswith(b"-----BEGIN RSA PRIVATE KEY-----")
        assert KEYS["1"].startswith(b"-----BEGIN RSA PUBLIC KEY-----")


class TestVerify:
    def test_round_trip_of_every_kind(self) -> None:
        dataplane = tokens.issue(CLAIMS, KEY, now=NOW, valid_for_s=60)
        claims = verify(dataplane)
        assert (claims.name, claims.mesh, claims.tags) == (CLAIMS.name, CLAIMS.mesh, CLAIMS.tags)
        assert claims.expires == NOW + 60
        zone = tokens.issue(ZoneClaims("east", ("ingress",), "z1"), KEY, now=NOW, valid_for_s=1)
        assert tokens.verify_zone(zone, KEYS, NOTHING_REVOKED, NOW) == ZoneClaims(
            "east", ("ingress",), "z1", NOW + 1
        )
        user = tokens.issue(UserClaims("john", ("team",), "u1"), KEY, now=NOW, valid_for_s=1)
        assert tokens.verify_user(user, KEYS, NOTHING_REVOKED, NOW) == UserClaims(
            "john", ("team",), "u1", NOW + 1
        )

    def test_times(self) -> None:
        token = tokens.issue(CLAIMS, KEY, now=NOW, valid_for_s=60)
        assert verify(token, NOW - 5).name == "web-1"
        assert verify(token, NOW + 59.9).name == "web-1"
        assert "token is not yet valid" in refusal(token, NOW - 5.1)
        assert refusal(token, NOW + 60).startswith("could not parse token: token is expired")

    def test_a_token_without_times_is_valid(self) -> None:
        assert verify(signed({"alg": "RS256", "kid": "1"}, {"Name": "n"})).expires is None

    def test_revocation(self) -> None:
        token = tokens.issue(DataplaneClaims(token_id="gone"), KEY, now=NOW)
        assert refusal(token, revoked=frozenset({"gone"})) == "token is revoked"
        assert verify(token, revoked=frozenset({"another"})).token_id == "gone"

    @pytest.mark.parametrize("value", ["1", True, [], {}, 10**4000, -(10**4000), 1e400])
    @pytest.mark.parametrize("claim", ["exp", "nbf"])
    def test_times_that_are_none(self, claim: str, value: object) -> None:
        payload = json.dumps({claim: value}).replace("Infinity", "1e400").encode()
        token = signed({"alg": "RS256", "kid": "1"}, payload)
        assert refusal(token) == f"could not parse token: its claim {claim} is not a time"

    @pytest.mark.parametrize(
        "claims",
        [
            {"Name": 1},
            {"Mesh": ["default"]},
            {"Tags": "kuma.io/service"},
            {"Tags": {"a": "b"}},
            {"Tags": {"a": [1]}},
            {"jti": {}},
        ],
    )
    def test_claims_of_the_wrong_type(self, claims: object) -> None:
        assert refusal(signed({"alg": "RS256", "kid": "1"}, claims)).startswith(
            "could not parse token: its claim"
        )

    @pytest.mark.parametrize("payload", [b"[" * 9000, b"[]", b"\xff", b'{"exp": NaN}', b'{"exp": Infinity}'])
    def test_payloads_that_are_no_object(self, payload: bytes) -> None:
        assert refusal(signed({"alg": "RS256", "kid": "1"}, payload)).startswith("could not parse token")


class TestKeys:
    def test_unknown_key(self) -> None:
        token = tokens.issue(CLAIMS, SigningKey("7", PRIVATE), now=NOW)
        assert refusal(token).startswith("there is no signing key with KID 7. ")

    def test_an_unknown_key_with_a_hostile_name_stays_one_short_line(self) -> None:
        text = refusal(tokens.issue(CLAIMS, SigningKey("a\nb" * 1000, PRIVATE), now=NOW))
        assert "\n" not in text
        assert len(text) < 400

    def test_a_token_of_another_key_under_a_known_kid(self) -> None:
        token = tokens.issue(CLAIMS, SigningKey("1", OTHER_PRIVATE), now=NOW)
        assert "signature does not match" in refusal(token)

    @pytest.mark.parametrize(
        ("claims", "looks", "needed"),
        [
            (ZoneClaims("zone-1", ("ingress",)), "a zone token", "generate dataplane-token"),
            (UserClaims("me"), "a user token", "generate dataplane-token"),
            (CLAIMS, "a dataplane token", "generate zone-token"),
        ],
    )
    def test_a_token_of_another_kind_is_told(self, claims: tokens.Claims, looks: str, needed: str) -> None:
        token = tokens.issue(claims, SigningKey("1", OTHER_PRIVATE), now=NOW)
        verify = tokens.verify_zone if claims is CLAIMS else tokens.verify_dataplane
        with pytest.raises(TokenError) as refused:
            verify(token, KEYS, NOTHING_REVOKED, NOW)
        assert f"looks like {looks}" in str(refused.value)
        assert needed in str(refused.value).partition("needed here")[2]

    def test_a_token_of_the_right_kind_is_not_called_another(self) -> None:
        assert refusal(tokens.issue(CLAIMS, SigningKey("1", OTHER_PRIVATE), now=NOW)).endswith("signing key")

    @pytest.mark.parametrize("header", [{}, {"kid": 1}, {"kid": None}, {"kid": ["1"]}])
    def test_kid_is_mandatory_text(self, header: dict[str, object]) -> None:
        assert "no kid header" in refusal(signed({"alg": "RS256", **header}, {}))

    @pytest.mark.parametrize("alg", ["none", "None", "HS256", "RS512", "PS256", "", None, ["RS256"]])
    def test_only_rs256(self, alg: object) -> None:
        assert "algorithm is not RS256" in refusal(signed({"alg": alg, "kid": "1"}, {}))

    def test_the_public_key_is_no_hmac_secret(self) -> None:
        body = f"{encode({'alg': 'HS256', 'kid': '1'})}.{encode({'Name': 'web-1'})}"
        mac = hmac.digest(KEYS["1"], body.encode(), hashlib.sha256)
        assert "algorithm" in refusal(f"{body}.{encode(mac)}")

    def test_an_unsigned_token(self) -> None:
        token = tokens.issue(CLAIMS, KEY, now=NOW)
        assert "signature" in refusal(token.rpartition(".")[0] + ".")

    def test_a_verification_key_that_is_none(self) -> None:
        token = tokens.issue(CLAIMS, KEY, now=NOW)
        with pytest.raises(TokenError, match="could not parse token"):
            tokens.verify_dataplane(token, {"1": b"no pem"}, NOTHING_REVOKED, NOW)

    @pytest.mark.parametrize("pem", [b"", b"no key", KEYS["1"]])
    def test_public_half_of_no_private_key(self, pem: bytes) -> None:
        with pytest.raises(ValueError, match="RSA private key"):
            tokens.public_pem(pem)


class TestHostileInput:
    def test_a_giant_is_refused_unread(self) -> None:
        assert "longer than" in refusal("a" * (MAX_TOKEN_CHARS + 1))

    @settings(max_examples=200, deadline=None)
    @given(st.one_of(st.text(), st.from_regex(r"[\w-]{1,40}\.[\w-]{1,80}\.[\w-]{0,40}")))
    def test_any_text_is_refused_with_a_reason(self, text: str) -> None:
        assert refusal(text)

    @settings(max_examples=200, deadline=None)
    @given(
        st.dictionaries(
            st.sampled_from(["alg", "kid", "b64", "crit", "typ"]),
            st.sampled_from(["RS256", "1", "", None, False, True, 1, ["b64"], [], {}]),
        ),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(st.sampled_from(["Name", "Mesh", "Tags", "exp", "nbf", "jti"]), inner)
            ),
        ),
    )
    def test_any_signed_content_gives_claims_or_a_refusal(self, header: Any, payload: Any) -> None:
        token = signed({"alg": "RS256", "kid": "1", **header}, payload)
        with contextlib.suppress(TokenError):
            claims = verify(token)
            assert isinstance(claims.name, str)
            assert isinstance(claims.token_id, str)

    @settings(max_examples=100, deadline=None)
    @given(st.data())
    def test_no_changed_character_goes_unnoticed(self, data: st.DataObject) -> None:
        token = TOKEN
        # The last character of a part may hold unused bits, so it is left alone.
        places = [i for i, c in enumerate(token[:-1]) if c != "." and token[i + 1] != "."]
        place = data.draw(st.sampled_from(places))
        other = "A" if token[place] != "A" else "B"
        changed = token[:place] + other + token[place + 1 :]
        assert token not in refusal(changed)

    @settings(max_examples=300, deadline=None)
    @given(st.text())
    def test_peek_raises_only_malformed(self, text: str) -> None:
        with pytest.raises(MalformedToken):
            peek(text)

    def test_peek_survives_deep_nesting(self) -> None:
        with pytest.raises(MalformedToken, match="header is not JSON"):
            peek(f"{encode(b'[' * 6000)}.{encode({})}.")


class TestCheckDataplane:
    TAGS: ClassVar = {"kuma.io/service": ("web",), "team": ("a", "b")}

    def check(self, **claims: Any) -> None:
        tokens.check_dataplane(
            DataplaneClaims(**claims), name="web-1", mesh="default", tags=self.TAGS, workload="w"
        )

    def refused(self, **claims: Any) -> str:
        with pytest.raises(TokenError) as caught:
            self.check(**claims)
        assert caught.value.denied
        return str(caught.value)

    def test_what_fits(self) -> None:
        self.check()
        self.check(name="web-1", mesh="default", workload="w", type="ingress")
        self.check(tags={"kuma.io/service": ("x", "web"), "team": ("b", "a")})

    def test_texts(self) -> None:
        assert self.refused(name="x") == "proxy name from requestor: web-1 is different than in token: x"
        assert self.refused(mesh="x") == "proxy mesh from requestor: default is different than in token: x"
        assert self.refused(tags={"t": ("v",)}) == 'dataplane has no tag "t" required by the token'
        assert self.refused(tags={"team": ("a",)}) == (
            'dataplane contains tag "team" with value "b" which is not allowed with this token. '
            'Allowed values in token are ["a"]'
        )
        assert "workload from requestor: w" in self.refused(workload="x")

    def test_a_workload_token_needs_the_label(self) -> None:
        with pytest.raises(TokenError, match=r'no label "kuma\.io/workload"'):
            tokens.check_dataplane(DataplaneClaims(workload="w"), name="", mesh="", tags={}, workload="")


class TestCheckZone:
    def test_what_fits(self) -> None:
        tokens.check_zone(ZoneClaims("east", ("ingress", "egress")), "east", "egress")
        tokens.check_zone(ZoneClaims("", ("ingress",)), "east", "ingress")

    def test_texts(self) -> None:
        with pytest.raises(TokenError) as scope:
            tokens.check_zone(ZoneClaims("east", ("egress",)), "east", "ingress")
        with pytest.raises(TokenError) as zone:
            tokens.check_zone(ZoneClaims("west", ("egress",)), "east", "egress")
        assert scope.value.denied
        assert str(scope.value) == (
            "token cannot be used to authenticate zone entity (ingress is out of token's scope: [egress])"
        )
        assert zone.value.denied
        assert str(zone.value) == "zone from requestor: east is different than in token: west"
