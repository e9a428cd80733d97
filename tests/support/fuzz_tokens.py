"""Fuzz targets: tokens. Whoever has no key gets nothing in, whatever the token looks like."""

from __future__ import annotations

import base64
import json
from functools import cache
from random import Random

import jwt

from fuzz import Target
from fuzz_mutate import bytes_mutation, change
from kumacp.identity.signing_keys import KeyRing, parse_revocations
from kumamesh import tokens
from kumamesh.jwt_peek import MalformedToken, peek
from kumamesh.resource import Resource, ResourceKey
from kumamesh.resources.secret import GlobalSecret, Secret
from kumamesh.tokens import DataplaneClaims, SigningKey, TokenError, UserClaims, ZoneClaims

NOW = 1_800_000_000.0
_WORDS = (
    "alg",
    "kid",
    "typ",
    "none",
    "RS256",
    "HS256",
    "Name",
    "Mesh",
    "Tags",
    "Scope",
    "Groups",
    "exp",
    "nbf",
    "jti",
)


@cache
def _keys() -> tuple[bytes, bytes]:
    """Ours and a foreign one."""
    return tokens.generate_signing_key(), tokens.generate_signing_key()


@cache
def _ring() -> KeyRing:
    ours = _keys()[0]
    return KeyRing(
        [
            Resource(
                ResourceKey("Secret", "default", "dataplane-token-signing-key-default-1"), Secret(data=ours)
            ),
            Resource(ResourceKey("GlobalSecret", "", "zone-token-signing-key-1"), GlobalSecret(data=ours)),
            Resource(ResourceKey("GlobalSecret", "", "user-token-signing-key-1"), GlobalSecret(data=ours)),
            Resource(
                ResourceKey("GlobalSecret", "", "user-token-revocations"), GlobalSecret(data=b"gone, x")
            ),
        ]
    )


def _genuine() -> tuple[bytes, ...]:
    key = SigningKey("1", _keys()[0])
    claims = (
        DataplaneClaims("web-1", "default", {"kuma.io/service": ("web",)}, workload="w"),
        ZoneClaims("east", ("ingress", "egress")),
        UserClaims("ann", ("team",)),
    )
    return tuple(tokens.issue(each, key, now=NOW, valid_for_s=60.0).encode() for each in claims)


def _part(value: object) -> str:
    text = json.dumps(value).encode()
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


def _reclaim(data: bytes, random: Random) -> bytes:
    """Another header or other claims: signed with our key, with a foreign one, as an HMAC, or as it was."""
    try:
        header, claims = peek(data.decode())
    except (MalformedToken, UnicodeDecodeError):
        return bytes_mutation()(data, random)
    if random.random() < 0.4:
        header = change(header, random, _WORDS)
    else:
        claims = change(claims, random, _WORDS)
    text = f"{_part(header)}.{_part(claims)}"
    ours, foreign = _keys()
    match random.randrange(8):
        case 0:
            return _signed(text, ours)
        case 1:
            return _signed(text, foreign)
        case 2:
            return f"{text}.".encode()
        case 3:
            digest = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256)
            made = digest.sign(text.encode(), tokens.public_pem(ours))
            return f"{text}.{base64.urlsafe_b64encode(made).rstrip(b'=').decode()}".encode()
    return f"{text}.{data.decode().rpartition('.')[2]}".encode()


_RS256 = jwt.algorithms.RSAAlgorithm(jwt.algorithms.RSAAlgorithm.SHA256)
_loaded = cache(_RS256.prepare_key)


def _signed(text: str, pem: bytes) -> bytes:
    signature = _RS256.sign(text.encode(), _loaded(pem))
    return f"{text}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}".encode()


def _is_ours(token: str) -> bool:
    """Whether our key made the signature over exactly these bytes: what RS256 says, computed here."""
    text, _, signature = token.rpartition(".")
    try:
        made = base64.urlsafe_b64decode(signature + "=" * (-len(signature) % 4))
    except ValueError:
        return False
    return _RS256.verify(text.encode(), _loaded(tokens.public_pem(_keys()[0])), made)


def check_token(data: bytes) -> str:
    token = data.decode("utf-8", "replace")
    ring, outcome = _ring(), ""
    for verify in (lambda: ring.verify_dataplane(token, "default", NOW), lambda: ring.verify_zone(token, NOW),
                   lambda: ring.verify_user(token, NOW)):  # fmt: skip
        try:
            claims = verify()
        except TokenError as error:
            outcome += _refusal(str(error), token)
            continue
        assert _is_ours(token), "accepted, but our key did not sign it"
        assert peek(token).header["alg"] == "RS256"
        assert claims.expires is None or claims.expires > NOW
        json.dumps(claims.to_wire(), allow_nan=False)
        outcome += "accepted;"
    return outcome


def _refusal(text: str, token: str) -> str:
    assert "\n" not in text
    assert text.isprintable()
    assert len(text) < 1_000
    signature = token.rpartition(".")[2]
    assert len(signature) < 20 or signature not in text
    return f"{text[:60]};"


def check_peek(data: bytes) -> str:
    try:
        peeked = peek(data.decode("utf-8", "replace"))
    except MalformedToken as error:
        return _refusal(str(error), "")
    json.dumps(peeked, allow_nan=False)
    return "peeked"


def check_revocations(data: bytes) -> str:
    found = parse_revocations(data)
    assert all(part and part == part.strip() and "," not in part for part in found)
    return f"{min(len(found), 5)}"


_SHAPES = (b".", b"e30", b"=", b"-", b"_", b"eyJhbGciOiJub25lIn0", b"\xc3\xa9", b"A" * 400)
TARGETS = (
    Target("tokens", _genuine(), (_reclaim, _reclaim, bytes_mutation(*_SHAPES)), check_token, share=0.4),
    Target("token peek", _genuine(), (bytes_mutation(*_SHAPES), _reclaim), check_peek, share=0.3),
    Target(
        "revocations",
        (b"a,b, c\nd",),
        (bytes_mutation(b",", b"\n", b" ", b"\xff"),),
        check_revocations,
        share=0.3,
    ),
)
