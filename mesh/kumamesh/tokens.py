"""Tokens that prove who a proxy or a person is: issue, verify, check (contract 7.1, 3.2; kuma-cp 5.2-5.4).

RS256 alone: the algorithm is pinned before a key is looked at, so neither `none` nor a public key used as
an HMAC secret can pass.
"""

from __future__ import annotations

import functools
import math
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from kumamesh.jwt_peek import MalformedToken, parse_object, peek
from kumamesh.names import WORKLOAD_LABEL

ALGORITHM = "RS256"
FIRST_KID = "1"
CLOCK_SKEW_S = 5
"""How far `nbf` lies before the moment of issue, for verifiers whose clock is behind."""
DEFAULT_VALIDITY_S = 10 * 365 * 86_400.0
PROXY_SCOPES = ("ingress", "egress")
SCOPES = (*PROXY_SCOPES, "cp")
"""What a zone token can be for: proxies of the zone, and its control plane."""

_KINDS = {
    "Tags": "a dataplane token (kumactl generate dataplane-token)",
    "Scope": "a zone token (kumactl generate zone-token)",
    "Groups": "a user token (kumactl generate user-token)",
}
"""By a claim that no other kind has. Each kind has signing keys of its own."""
_SHOWN_KID_CHARS = 40
_LAST_TIME = 1e12


class TokenError(Exception):
    """Why a token does not open the door. `denied`: it is genuine, but not for this proxy."""

    def __init__(self, message: str, *, denied: bool = False) -> None:
        super().__init__(message)
        self.denied = denied


@dataclass(frozen=True, slots=True)
class DataplaneClaims:
    """Who a sidecar may be; an empty claim restricts nothing. `expires` is in seconds since the epoch."""

    name: str = ""
    mesh: str = ""
    tags: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    type: str = ""
    workload: str = ""
    token_id: str = ""
    expires: float | None = None

    def to_wire(self) -> dict[str, Any]:
        tags = {tag: list(values) for tag, values in self.tags.items()} or None
        return {
            "Name": self.name,
            "Mesh": self.mesh,
            "Tags": tags,
            "Type": self.type,
            "Workload": self.workload,
        }


@dataclass(frozen=True, slots=True)
class ZoneClaims:
    """What may be run with the token: proxies and control planes of `zone` (any if empty) in `scope`."""

    zone: str = ""
    scope: tuple[str, ...] = ()
    token_id: str = ""
    expires: float | None = None

    def to_wire(self) -> dict[str, Any]:
        return {"Zone": self.zone, "Scope": list(self.scope) or None}


@dataclass(frozen=True, slots=True)
class UserClaims:
    """A person or a program at the REST API."""

    name: str = ""
    groups: tuple[str, ...] = ()
    token_id: str = ""
    expires: float | None = None

    def to_wire(self) -> dict[str, Any]:
        return {"Name": self.name, "Groups": list(self.groups) or None}


Claims = DataplaneClaims | ZoneClaims | UserClaims


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key and the `kid` under which verifiers know its public half."""

    kid: str
    private_pem: bytes = field(repr=False)


def generate_signing_key() -> bytes:
    """A new RSA 2048 key, PEM in PKCS#1 form (contract 7.2)."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )


def public_pem(private_pem: bytes) -> bytes:
    """The public half, PEM in PKCS#1 form; raises ValueError when it is not an RSA private key."""
    public_key = _private_key(private_pem).public_key()
    return public_key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.PKCS1)


def issue(claims: Claims, key: SigningKey, *, now: float, valid_for_s: float = DEFAULT_VALIDITY_S) -> str:
    """A signed token. `claims.token_id` becomes `jti` if set, else a random one; `claims.expires` is not
    looked at. Raises ValueError when the key is not an RSA private key."""
    registered = {
        "exp": math.ceil(now + valid_for_s),
        "nbf": math.floor(now) - CLOCK_SKEW_S,
        "iat": math.floor(now),
        "jti": claims.token_id or str(uuid.uuid4()),
    }
    payload = {**claims.to_wire(), **registered}
    return jwt.encode(payload, _private_key(key.private_pem), ALGORITHM, headers={"kid": key.kid})


def verify_dataplane(
    token: str, keys: Mapping[str, bytes], revoked: frozenset[str], now: float
) -> DataplaneClaims:
    """Claims of a genuine dataplane token. `keys` are public keys (PEM) by `kid`; raises TokenError."""
    claims = _verify(token, keys, revoked, now, "Tags")
    tags = _claim(claims, "Tags", dict) or {}
    return DataplaneClaims(
        name=_claim(claims, "Name", str) or "",
        mesh=_claim(claims, "Mesh", str) or "",
        tags={tag: _strings(values, f"Tags.{tag}") for tag, values in tags.items()},
        type=_claim(claims, "Type", str) or "",
        workload=_claim(claims, "Workload", str) or "",
        token_id=claims["jti"],
        expires=claims.get("exp"),
    )


def verify_zone(token: str, keys: Mapping[str, bytes], revoked: frozenset[str], now: float) -> ZoneClaims:
    """Claims of a genuine zone token; raises TokenError."""
    claims = _verify(token, keys, revoked, now, "Scope")
    return ZoneClaims(
        zone=_claim(claims, "Zone", str) or "",
        scope=_strings(claims.get("Scope"), "Scope"),
        token_id=claims["jti"],
        expires=claims.get("exp"),
    )


def verify_user(token: str, keys: Mapping[str, bytes], revoked: frozenset[str], now: float) -> UserClaims:
    """Claims of a genuine user token; raises TokenError."""
    claims = _verify(token, keys, revoked, now, "Groups")
    return UserClaims(
        name=_claim(claims, "Name", str) or "",
        groups=_strings(claims.get("Groups"), "Groups"),
        token_id=claims["jti"],
        expires=claims.get("exp"),
    )


def check_dataplane(
    claims: DataplaneClaims, *, name: str, mesh: str, tags: Mapping[str, Iterable[str]], workload: str
) -> None:
    """Raise TokenError(denied) unless the token covers this proxy. `tags` are all values of every tag over
    its inbounds and gateway, `workload` the value of its label kuma.io/workload, "" without one."""
    if claims.name and claims.name != name:
        raise _denied(f"proxy name from requestor: {name} is different than in token: {claims.name}")
    if claims.mesh and claims.mesh != mesh:
        raise _denied(f"proxy mesh from requestor: {mesh} is different than in token: {claims.mesh}")
    for tag, allowed in claims.tags.items():
        values = tuple(tags.get(tag, ()))
        if not values:
            raise _denied(f'dataplane has no tag "{tag}" required by the token')
        for value in values:
            if value not in allowed:
                listed = " ".join(f'"{item}"' for item in sorted(allowed))
                raise _denied(
                    f'dataplane contains tag "{tag}" with value "{value}" which is not allowed with this '
                    f"token. Allowed values in token are [{listed}]"
                )
    if claims.workload and not workload:
        raise _denied(f'dataplane has no label "{WORKLOAD_LABEL}" required by the token')
    if claims.workload and claims.workload != workload:
        raise _denied(
            f"proxy workload from requestor: {workload} is different than in token: {claims.workload}"
        )


def check_zone(claims: ZoneClaims, zone: str, scope: str) -> None:
    """Raise TokenError(denied) unless the token covers the `ingress`, `egress` or `cp` of the zone."""
    if scope not in claims.scope:
        raise _denied(
            f"token cannot be used to authenticate zone entity "
            f"({scope} is out of token's scope: [{' '.join(claims.scope)}])"
        )
    if claims.zone and claims.zone != zone:
        raise _denied(f"zone from requestor: {zone} is different than in token: {claims.zone}")


@functools.lru_cache(maxsize=32)
def _private_key(pem: bytes) -> rsa.RSAPrivateKey:
    # Kept, because reading a key checks it, which takes longer than signing with it.
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, rsa.RSAPrivateKey):
        raise ValueError("the signing key is not an unencrypted RSA private key in PEM form")
    return key


def _denied(message: str) -> TokenError:
    return TokenError(message, denied=True)


def _verify(
    token: str, keys: Mapping[str, bytes], revoked: frozenset[str], now: float, mark: str
) -> dict[str, Any]:
    """The claims, with `jti` a string, once signature, times and revocation hold. `mark` is the claim that
    tokens of the wanted kind alone have."""
    try:
        header, claimed = peek(token)
    except MalformedToken as error:
        raise _unparsable(str(error)) from error
    key = _select_key(header, keys)
    try:
        claims = parse_object(jwt.PyJWS().decode(token, key, algorithms=[ALGORITHM]), "payload")
    except jwt.InvalidSignatureError as error:
        hint = _other_kind(claimed, mark)
        raise _unparsable(f"its signature does not match the signing key{hint}") from error
    except (jwt.PyJWTError, MalformedToken) as error:
        raise _unparsable(str(error)) from error
    _check_times(claims, now)
    token_id = claims["jti"] = _claim(claims, "jti", str) or ""
    if token_id in revoked:
        raise TokenError("token is revoked")
    return claims


def _other_kind(claimed: Mapping[str, Any], mark: str) -> str:
    """For a person who has taken the wrong file."""
    found = next((kind for claim, kind in _KINDS.items() if claim in claimed and claim != mark), "")
    return f"; it looks like {found}, and what is needed here is {_KINDS[mark]}" if found else ""


def _select_key(header: Mapping[str, Any], keys: Mapping[str, bytes]) -> bytes:
    if header.get("alg") != ALGORITHM:
        raise _unparsable(f"its algorithm is not {ALGORITHM}")
    kid = header.get("kid")
    if not isinstance(kid, str):
        raise _unparsable("it has no kid header")
    key = keys.get(kid)
    if key is None:
        shown = kid if kid.isprintable() and len(kid) <= _SHOWN_KID_CHARS else ascii(kid[:_SHOWN_KID_CHARS])
        raise TokenError(
            f"there is no signing key with KID {shown}. The key was rotated, or belongs to another mesh or "
            "another control plane (a memory store forgets its keys at restart): generate a new token"
        )
    return key


def _check_times(claims: Mapping[str, Any], now: float) -> None:
    not_before, expires = _time(claims, "nbf"), _time(claims, "exp")
    if not_before is not None and now < not_before:
        raise _unparsable(
            f"token is not yet valid: it begins in {not_before - now:.0f} s by this clock; check the clocks"
            " of the issuer and of the control plane"
        )
    if expires is not None and now >= expires:
        raise _unparsable("token is expired; generate a new one")


def _time(claims: Mapping[str, Any], name: str) -> float | None:
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < _LAST_TIME:
        raise _unparsable(f"its claim {name} is not a time")
    return value


def _claim(claims: Mapping[str, Any], name: str, kind: type) -> Any:
    value = claims.get(name)
    if value is not None and not isinstance(value, kind):
        raise _unparsable(f"its claim {name} has the wrong type")
    return value


def _strings(value: Any, name: str) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise _unparsable(f"its claim {name} is not a list of strings")
    return tuple(value)


def _unparsable(reason: str) -> TokenError:
    return TokenError(f"could not parse token: {reason}")
