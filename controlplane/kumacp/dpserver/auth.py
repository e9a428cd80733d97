"""May this proxy connect? Its token against its resource (contract 3.2; kuma-cp 5.1 to 5.3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from kumacp.dpserver.node import ProxyNode, ProxyType
from kumacp.dpserver.refusal import Refused, Status
from kumacp.identity.signing_keys import KeyRing
from kumamesh.jwt_peek import MalformedToken, peek
from kumamesh.names import WORKLOAD_LABEL
from kumamesh.resource import Resource
from kumamesh.resources.dataplane import Dataplane
from kumamesh.tokens import DataplaneClaims, TokenError, ZoneClaims, check_dataplane, check_zone

NONE = "none"
"""Value of the authentication settings that lets everybody in."""


@dataclass(frozen=True, slots=True)
class AuthModes:
    """How sidecars and zone proxies prove who they are: `none`, or a token."""

    dataplane: str = "dpToken"
    zone_proxy: str = "zoneToken"

    def required(self, proxy_type: ProxyType) -> bool:
        mode = self.dataplane if proxy_type is ProxyType.DATAPLANE else self.zone_proxy
        return mode != NONE


@dataclass(frozen=True, slots=True)
class Credential:
    """A genuine token and what it claims. `kid` names the key that `key` (PEM) was when it was verified."""

    token: str = field(repr=False)
    claims: DataplaneClaims | ZoneClaims
    mesh: str
    kid: str
    key: bytes = field(repr=False)


def sole_token(values: Sequence[str]) -> str:
    """The one value of the metadata key `authorization`, "" without any; raises Refused for several."""
    if len(values) > 1:
        raise _failed(
            f'request must have exactly 1 "authorization" header, got {len(values)}', fault="malformed"
        )
    return values[0] if values else ""


def authenticate(
    node: ProxyNode, values: Sequence[str], keys: KeyRing, resource: Resource, *, zone: str, now: float
) -> Credential:
    """The credential that covers the node and its resource; raises Refused. `now` in seconds since the
    epoch, `values` those of the metadata key `authorization`."""
    credential = prove(node, values, keys, now=now)
    try:
        check(credential, node.proxy_type, resource, zone=zone)
    except TokenError as error:
        raise _refused(error) from None
    return credential


def prove(node: ProxyNode, values: Sequence[str], keys: KeyRing, *, now: float) -> Credential:
    """The genuine credential of the node's mesh, whatever it covers; raises Refused."""
    token = sole_token(values)
    if not token:
        raise _failed(_missing(node), fault="missing")
    try:
        return verify(token, _preview(token, node), node.key.mesh, keys, now)
    except TokenError as error:
        raise _refused(error) from None


def authenticate_override(
    credential: Credential, proxy_type: ProxyType, stored: Resource, *, zone: str
) -> None:
    """The resource that the proxy is about to replace must be one that its token covers, too."""
    try:
        check(credential, proxy_type, stored, zone=zone)
    except TokenError as error:
        raise Refused(
            Status.PERMISSION_DENIED,
            "authentication failed: you are trying to override existing proxy to which you don't have "
            f"an access: {error}",
            fault="override",
        ) from None


def verify(token: str, kid: str, mesh: str, keys: KeyRing, now: float) -> Credential:
    """A zone proxy has the mesh ""; raises TokenError."""
    if mesh:
        claims: DataplaneClaims | ZoneClaims = keys.verify_dataplane(token, mesh, now)
    else:
        claims = keys.verify_zone(token, now)
    return Credential(token, claims, mesh, kid, public_keys(keys, mesh)[kid])


def check(credential: Credential, proxy_type: ProxyType, resource: Resource, *, zone: str) -> None:
    """Raises TokenError unless the claims cover the proxy."""
    claims = credential.claims
    if isinstance(claims, ZoneClaims):
        check_zone(claims, zone, proxy_type.value)
        return
    spec = resource.spec
    check_dataplane(
        claims,
        name=resource.name,
        mesh=resource.mesh,
        tags=spec.tag_values() if isinstance(spec, Dataplane) else {},
        workload=resource.labels.get(WORKLOAD_LABEL, ""),
    )


def public_keys(keys: KeyRing, mesh: str) -> dict[str, bytes]:
    """Public keys (PEM) by kid that verify tokens of the mesh, or of the zone for ""."""
    return dict(keys.dataplane_keys(mesh) if mesh else keys.zone_keys())


def fault(reason: str) -> str:
    """Class of a token that does not hold, for the counters."""
    return next((word for word in ("revoked", "expired") if word in reason), "malformed")


def _preview(token: str, node: ProxyNode) -> str:
    """The token's kid. A token of another mesh is called that, and not one with a bad signature."""
    try:
        peeked = peek(token)
    except MalformedToken as error:
        raise TokenError(f"could not parse token: {error}") from None
    mesh = peeked.claims.get("Mesh")
    if node.key.mesh and isinstance(mesh, str) and mesh not in {"", node.key.mesh}:
        raise TokenError(
            f"proxy mesh from requestor: {node.key.mesh} is different than in token: {mesh[:253]}",
            denied=True,
        )
    return str(peeked.header.get("kid"))


def _missing(node: ProxyNode) -> str:
    kind = "dataplane" if node.proxy_type is ProxyType.DATAPLANE else "zone"
    return (
        f"the request carries no token; make one with `kumactl generate {kind}-token` and give its file to "
        f"kuma-dp with --dataplane-token-file"
    )


def _refused(error: TokenError) -> Refused:
    return _failed(str(error), fault="denied" if error.denied else fault(str(error)))


def _failed(message: str, *, fault: str) -> Refused:
    return Refused(Status.UNAUTHENTICATED, f"authentication failed: {message}", fault=fault)
