"""May this control plane of a zone open a stream? Its metadata and its token (contract 8.1; kuma-cp 6.5)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from kumacp.dpserver.auth import Credential, fault, verify
from kumacp.dpserver.refusal import Refused, Status
from kumacp.identity.signing_keys import KeyRing
from kumacp.mode import is_zone_name
from kumamesh.jwt_peek import MalformedToken, peek
from kumamesh.tokens import TokenError, ZoneClaims, check_zone

CLIENT_ID, KDS_VERSION, FEATURES = "client-id", "kds-version", "features"
VERSION, STORE_ID, AUTHORIZATION = "version", "kuma-store-id", "authorization"
CP_SCOPE = "cp"
SUPPORTED_VERSION = "v3"
MAX_STREAMS_PER_ZONE = 8
"""Of one kind: some control planes with one store, each with an old connection not yet found dead."""
MAX_ZONES = 1_000
_MAX_VALUE_CHARS = 1_024
_MAX_FEATURES = 32
_BEARER = "Bearer "


@dataclass(frozen=True, slots=True)
class Caller:
    """A control plane of a zone, by what it says of itself. `store_id` is "" when it tells none."""

    zone: str
    features: frozenset[str] = frozenset()
    version: str = ""
    store_id: str = ""
    tokens: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class OpenStream:
    """One that is served now; `peer` is the address of its connection."""

    kind: str
    caller: Caller
    peer: str


def caller_of(metadata: Iterable[tuple[str, str | bytes]]) -> Caller:
    """Raises Refused."""
    values: dict[str, list[str]] = {}
    for key, value in metadata:
        if isinstance(value, str):
            values.setdefault(key, []).append(value)
    zone = _sole(values, CLIENT_ID)
    if not zone:
        raise _invalid('the metadata key "client-id" is missing: it must be the name of the zone')
    if not is_zone_name(zone):
        raise _invalid(
            f"{zone[:100]!r} is no name for a zone: use at most 63 lower-case letters, digits, dashes and"
            " dots (KUMA_MULTIZONE_ZONE_NAME)"
        )
    version = _sole(values, KDS_VERSION)
    if version not in ("", SUPPORTED_VERSION):
        raise _invalid(f"invalid KDS version {version[:20]}. Supported versions {SUPPORTED_VERSION}")
    return Caller(
        zone=zone,
        features=frozenset(values.get(FEATURES, ())[:_MAX_FEATURES]),
        version=_sole(values, VERSION),
        store_id=_sole(values, STORE_ID),
        tokens=tuple(values.get(AUTHORIZATION, ())),
    )


def credential_of(caller: Caller, keys: KeyRing, now: float) -> Credential:
    """The genuine token that covers the zone's control plane; raises Refused. `now` in seconds since the
    epoch."""
    if len(caller.tokens) != 1:
        raise _unauthenticated(
            "the request must carry one zone token with the scope cp: make it on global with `kumactl"
            f" generate zone-token --zone {caller.zone} --scope cp`, and give its file to the zone's control"
            " plane in KUMA_MULTIZONE_ZONE_KDS_AUTH_CP_TOKEN_PATH",
            fault="missing",
        )
    token = caller.tokens[0].removeprefix(_BEARER)
    try:
        credential = verify(token, str(peek(token).header.get("kid")), "", keys, now)
        claims = credential.claims
        assert isinstance(claims, ZoneClaims)
        check_zone(claims, caller.zone, CP_SCOPE)
    except MalformedToken as error:
        raise _unauthenticated(f"could not parse token: {error}", fault="malformed") from None
    except TokenError as error:
        raise _unauthenticated(str(error), fault="denied" if error.denied else fault(str(error))) from None
    return credential


def check_room(kind: str, caller: Caller, peer: str, present: Iterable[OpenStream]) -> None:
    """Whether there is room for the stream besides those of its zone that are open; raises Refused. Several
    control planes of one zone may share a store, but one that has another store under the same name would
    have the first one's resources deleted."""
    same = 0
    for stream in present:
        same += stream.kind == kind
        ids = {caller.store_id, stream.caller.store_id}
        if stream.peer != peer and "" not in ids and len(ids) > 1:
            raise Refused(
                Status.FAILED_PRECONDITION,
                f'another control plane is connected as zone "{caller.zone}", and it has another store: give'
                " each zone a name of its own (KUMA_MULTIZONE_ZONE_NAME), or stop the other one",
            )
    if same >= MAX_STREAMS_PER_ZONE:
        raise Refused(
            Status.RESOURCE_EXHAUSTED,
            f'zone "{caller.zone}" has {same} streams of this kind open: a zone needs one for each of its'
            " control planes",
        )


def no_room_for_zones(zone: str) -> Refused:
    return Refused(
        Status.RESOURCE_EXHAUSTED,
        f'there are {MAX_ZONES} zones and "{zone}" is none of them: delete those that are no more',
    )


def _sole(values: Mapping[str, list[str]], key: str) -> str:
    """The value of a key, "" without one; raises Refused for several or long ones."""
    found = values.get(key, [])
    if len(found) > 1:
        raise _invalid(f'the metadata key "{key}" has {len(found)} values')
    if found and len(found[0]) > _MAX_VALUE_CHARS:
        raise _invalid(f'the metadata key "{key}" has more than {_MAX_VALUE_CHARS} characters')
    return found[0] if found else ""


def _invalid(message: str) -> Refused:
    return Refused(Status.INVALID_ARGUMENT, message)


def _unauthenticated(message: str, *, fault: str) -> Refused:
    return Refused(Status.UNAUTHENTICATED, f"authentication failed: {message}", fault=fault)
