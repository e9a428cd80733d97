"""Rules of a Mesh that look at more than its own text, and what a new one brings (kuma-cp 2.5, 2.9, 2.12)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime

from kumacp.identity.ca import create_ca
from kumacp.identity.signing_keys import TokenKind, signing_key_name
from kumamesh import names
from kumamesh.names import SERVICE_TAG
from kumamesh.resource import Resource, ResourceKey, Violation
from kumamesh.resources.mesh import Mesh, MtlsBackend
from kumamesh.resources.permission import Selector, TrafficPermission
from kumamesh.resources.secret import Secret
from kumamesh.tokens import generate_signing_key

BUILTIN = "builtin"
_CA_CHANGE = "Changing CA when mTLS is enabled is forbidden. Disable mTLS first and then change the CA"


def update_violations(old: Mesh, new: Mesh) -> tuple[Violation, ...]:
    """What forbids to put `new` in the place of `old`."""
    before, after = old.enabled_backend, new.enabled_backend
    if before is None or after is None or before.name == after.name:
        return ()
    if new.mtls is not None and new.mtls.skip_validation:
        return ()
    return (Violation("mtls.enabledBackend", _CA_CHANGE),)


def backend_violations(mesh: Mesh) -> tuple[Violation, ...]:
    """Backends that this control plane cannot issue certificates with: nothing may seem to be secured that
    is not."""
    return tuple(
        Violation(
            f"mtls.backends[{index}].type", f"{backend.type} is not served by this version; use builtin"
        )
        for index, backend in enumerate(_backends(mesh))
        if backend.type != BUILTIN
    )


def delete_violations(dataplanes: int) -> tuple[Violation, ...]:
    if not dataplanes:
        return ()
    return (Violation("mesh", "unable to delete mesh, there are still some dataplanes attached"),)


def builtin_backends(mesh: Mesh) -> tuple[MtlsBackend, ...]:
    return tuple(backend for backend in _backends(mesh) if backend.type == BUILTIN)


def ca_secret_names(mesh: str, backend: MtlsBackend) -> tuple[str, str]:
    """Names of the Secrets of a builtin backend: certificate, key."""
    return (
        names.builtin_ca_cert_secret(mesh, backend.name),
        names.builtin_ca_key_secret(mesh, backend.name),
    )


def new_ca_secrets(mesh: str, backend: MtlsBackend, now: datetime) -> tuple[Resource, Resource]:
    """A fresh CA; takes 0.1 s and more."""
    ca = create_ca(mesh, now=now, lifetime_s=backend.ca_lifetime_s, rsa_bits=backend.rsa_bits)
    certificate, key = ca_secret_names(mesh, backend)
    return _secret(mesh, certificate, ca.certificate), _secret(mesh, key, ca.private_key)


def initial_resources(mesh: Resource, *, now: datetime, permission: bool) -> tuple[Resource, ...]:
    """What is created together with a Mesh; takes 0.1 s and more. `permission`: this control plane gives new
    meshes their allow-all permission, unless the Mesh declines it."""
    found = [_secret(mesh.name, signing_key_name(TokenKind.DATAPLANE, 1, mesh.name), generate_signing_key())]
    for backend in builtin_backends(mesh.spec):
        found += new_ca_secrets(mesh.name, backend, now)
    if permission and not {"*", "TrafficPermission"} & set(mesh.spec.skip_creating_initial_policies):
        found.append(_allow_all(mesh.name))
    return tuple(found)


def secret_violations(secret: str, mesh_name: str, mesh: Mesh) -> tuple[Violation, ...]:
    """What forbids to delete the Secret of the mesh."""
    for backend in _backends(mesh):
        if secret in _secrets_of(mesh_name, backend):
            text = (
                f'The secret "{secret}" that you are trying to remove is currently in use in Mesh'
                f' "{mesh_name}" in mTLS backend "{backend.name}". Please remove the reference from the'
                f' "{backend.name}" backend before removing the secret.'
            )
            return (Violation("name", text),)
    return ()


def _backends(mesh: Mesh) -> tuple[MtlsBackend, ...]:
    return mesh.mtls.backends if mesh.mtls is not None else ()


def _secrets_of(mesh: str, backend: MtlsBackend) -> Iterator[str]:
    if backend.type == BUILTIN:
        yield from ca_secret_names(mesh, backend)
        return
    for source in backend.conf.values():
        if isinstance(source, Mapping) and isinstance(source.get("secret"), str):
            yield source["secret"]


def _secret(mesh: str, name: str, data: bytes) -> Resource:
    return Resource(ResourceKey("Secret", mesh, name), Secret(data=data))


def _allow_all(mesh: str) -> Resource:
    everyone = Selector(match={SERVICE_TAG: "*"})
    spec = TrafficPermission(sources=(everyone,), destinations=(everyone,))
    return Resource(ResourceKey("TrafficPermission", mesh, f"allow-all-{mesh}"), spec)
