"""Which keys sign and verify tokens, read from Secrets and GlobalSecrets (contract 7.2)."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping
from enum import Enum
from types import MappingProxyType

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from kumacp.identity.admin_ca import ADMIN_CA_SECRET
from kumamesh import tokens
from kumamesh.resource import Resource
from kumamesh.tokens import DataplaneClaims, SigningKey, UserClaims, ZoneClaims

SECRET, GLOBAL_SECRET = "Secret", "GlobalSecret"
ADMIN_TOKEN_SECRET = "admin-user-token"  # noqa: S105  # a name

_SERIAL = re.compile(r"-([1-9][0-9]{0,17})")
_LEGACY_SERIAL = 0
_NONE: Mapping[int, bytes] = MappingProxyType({})


class TokenKind(Enum):
    """What a token is for; the value is the first part of the names of its secrets."""

    DATAPLANE = "dataplane"
    ZONE = "zone"
    USER = "user"


class SigningKeyNotFound(LookupError):
    """No key of this kind is there to sign with."""


def signing_key_name(kind: TokenKind, serial: int, mesh: str = "") -> str:
    """Name of the Secret (dataplane) or GlobalSecret with the private key; serial 0 is the name without."""
    base = _base(kind, mesh)
    return base if serial == _LEGACY_SERIAL else f"{base}-{serial}"


def public_key_name(serial: int) -> str:
    """Name of the GlobalSecret with which a zone verifies zone tokens of its global."""
    return f"{_ZONE_PUBLIC_BASE}-{serial}"


def revocations_name(kind: TokenKind, mesh: str = "") -> str:
    """Name of the secret that lists the ids of revoked tokens."""
    suffix = f"-{mesh}" if kind is TokenKind.DATAPLANE else ""
    return f"{kind.value}-token-revocations{suffix}"


def stays_here(global_secret: str) -> bool:
    """Whether the GlobalSecret is of this control plane alone: no other one is ever sent it, or sends one."""
    users = _base(TokenKind.USER, "")
    return global_secret in _OF_ONE_CONTROL_PLANE or global_secret.startswith(users)


def parse_revocations(data: bytes) -> frozenset[str]:
    """Token ids from a list with commas; lines and blanks around the ids do not matter."""
    text = data.decode("utf-8", "replace").replace("\n", ",")
    return frozenset(part.strip() for part in text.split(",") if part.strip())


class KeyRing:
    """Every key and revocation at one moment; build a new one when a secret changes.

    `static_dataplane_keys` are public keys (PEM) by `kid` that hold in every mesh;
    `use_dataplane_secrets=False` leaves them the only ones. For the tokens of users likewise.
    `federated`: zone tokens are made by a global control plane alone, so that keys which the zone made while
    it stood alone count no longer; else its own keys win over those that a global has left behind.
    """

    def __init__(
        self,
        secrets: Iterable[Resource] = (),
        *,
        static_dataplane_keys: Mapping[str, bytes] = MappingProxyType({}),
        use_dataplane_secrets: bool = True,
        static_user_keys: Mapping[str, bytes] = MappingProxyType({}),
        use_user_secrets: bool = True,
        federated: bool = False,
    ) -> None:
        self._federated = federated
        self._static = dict(static_dataplane_keys)
        self._use_secrets = use_dataplane_secrets
        self._static_user = dict(static_user_keys)
        self._use_user_secrets = use_user_secrets
        self._private: dict[tuple[TokenKind, str], dict[int, bytes]] = {}
        self._zone_public: dict[int, bytes] = {}
        self._revoked: dict[tuple[TokenKind, str], frozenset[str]] = {}
        self._unreadable: list[str] = []
        for secret in secrets:
            if secret.type == SECRET:
                self._add_key(TokenKind.DATAPLANE, secret.mesh, secret)
                self._add_revocations(secret)
            elif secret.type == GLOBAL_SECRET:
                self._add_key(TokenKind.ZONE, "", secret)
                self._add_key(TokenKind.USER, "", secret)
                self._add_zone_public_key(secret)
                self._add_revocations(secret)

    @property
    def unreadable(self) -> tuple[str, ...]:
        """Names of secrets that should hold a key but do not; they are left out."""
        return tuple(self._unreadable)

    def dataplane_keys(self, mesh: str) -> Mapping[str, bytes]:
        """Public keys (PEM) by `kid`."""
        from_secrets = self._public(TokenKind.DATAPLANE, mesh) if self._use_secrets else {}
        return {**from_secrets, **self._static}

    def zone_keys(self) -> Mapping[str, bytes]:
        """Public keys (PEM) by `kid`; those that global gave the zone included."""
        from_global = {str(serial): pem for serial, pem in self._zone_public.items()}
        return from_global if self._federated else {**from_global, **self._public(TokenKind.ZONE)}

    def user_keys(self) -> Mapping[str, bytes]:
        """Public keys (PEM) by `kid`."""
        from_secrets = self._public(TokenKind.USER) if self._use_user_secrets else {}
        return {**from_secrets, **self._static_user}

    def revocations_dataplane(self, mesh: str) -> frozenset[str]:
        """Ids from the mesh's Secret and from the GlobalSecret of that name; both count."""
        return self._revoked.get((TokenKind.DATAPLANE, mesh), frozenset())

    def revocations_zone(self) -> frozenset[str]:
        return self._revoked.get((TokenKind.ZONE, ""), frozenset())

    def revocations_user(self) -> frozenset[str]:
        return self._revoked.get((TokenKind.USER, ""), frozenset())

    def latest(self, kind: TokenKind, mesh: str = "") -> SigningKey:
        """The key with the highest serial; raises SigningKeyNotFound."""
        keys = self._private.get((kind, mesh), _NONE)
        if not keys:
            where = f"Secret of mesh {mesh!r}" if mesh else GLOBAL_SECRET
            raise SigningKeyNotFound(
                f"signing key not found: there is no {where} named {signing_key_name(kind, 1, mesh)}"
            )
        serial = max(keys)
        return SigningKey(str(serial), keys[serial])

    def verify_dataplane(self, token: str, mesh: str, now: float) -> DataplaneClaims:
        """Claims of a genuine token of the mesh; raises TokenError."""
        return tokens.verify_dataplane(
            token, self.dataplane_keys(mesh), self.revocations_dataplane(mesh), now
        )

    def verify_zone(self, token: str, now: float) -> ZoneClaims:
        """Claims of a genuine zone token; raises TokenError."""
        return tokens.verify_zone(token, self.zone_keys(), self.revocations_zone(), now)

    def verify_user(self, token: str, now: float) -> UserClaims:
        """Claims of a genuine user token; raises TokenError."""
        return tokens.verify_user(token, self.user_keys(), self.revocations_user(), now)

    def _public(self, kind: TokenKind, mesh: str = "") -> dict[str, bytes]:
        keys = self._private.get((kind, mesh), _NONE)
        return {str(serial): _public_half(pem) for serial, pem in keys.items()}

    def _add_key(self, kind: TokenKind, mesh: str, secret: Resource) -> None:
        serial = _serial(secret.name, _base(kind, mesh), legacy=True)
        if serial is None:
            return
        try:
            _public_half(secret.spec.data)
        except ValueError:
            self._unreadable.append(secret.name)
        else:
            self._private.setdefault((kind, mesh), {})[serial] = secret.spec.data

    def _add_zone_public_key(self, secret: Resource) -> None:
        serial = _serial(secret.name, _ZONE_PUBLIC_BASE, legacy=False)
        if serial is None:
            return
        if is_rsa_public_key(secret.spec.data):
            self._zone_public[serial] = secret.spec.data
        else:
            self._unreadable.append(secret.name)

    def _add_revocations(self, secret: Resource) -> None:
        of_dataplanes, _, mesh = secret.name.partition(revocations_name(TokenKind.DATAPLANE))
        if not of_dataplanes and mesh and secret.mesh in {"", mesh}:
            slot = (TokenKind.DATAPLANE, mesh)
        elif secret.type == GLOBAL_SECRET and secret.name in _GLOBAL_REVOCATIONS:
            slot = (_GLOBAL_REVOCATIONS[secret.name], "")
        else:
            return
        known = self._revoked.get(slot, frozenset())
        self._revoked[slot] = known | parse_revocations(secret.spec.data)


_OF_ONE_CONTROL_PLANE = frozenset(
    {ADMIN_TOKEN_SECRET, ADMIN_CA_SECRET, "inter-cp-ca", revocations_name(TokenKind.USER)}
)
_ZONE_PUBLIC_BASE = "zone-token-signing-public-key"
_GLOBAL_REVOCATIONS = {revocations_name(kind): kind for kind in (TokenKind.ZONE, TokenKind.USER)}


def is_rsa_public_key(pem: bytes) -> bool:
    """Whether tokens can be verified with it."""
    try:
        return isinstance(serialization.load_pem_public_key(pem), rsa.RSAPublicKey)
    except (ValueError, UnsupportedAlgorithm):
        return False


def _base(kind: TokenKind, mesh: str) -> str:
    suffix = f"-{mesh}" if kind is TokenKind.DATAPLANE else ""
    return f"{kind.value}-token-signing-key{suffix}"


def _serial(name: str, base: str, *, legacy: bool) -> int | None:
    if not name.startswith(base):
        return None
    rest = name[len(base) :]
    if legacy and not rest:
        return _LEGACY_SERIAL
    match = _SERIAL.fullmatch(rest)
    return int(match[1]) if match else None


@functools.lru_cache(maxsize=1024)
def _public_half(private_pem: bytes) -> bytes:
    return tokens.public_pem(private_pem)
