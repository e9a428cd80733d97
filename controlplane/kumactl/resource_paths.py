"""Resource types by the names that people use for them, and their paths (contract 9.2)."""

from __future__ import annotations

from collections.abc import Sequence

from kumactl.urls import path_of
from kumamesh.errors import UserError
from kumamesh.resource import ResourceKey
from kumamesh.resources.registry import TYPES, ResourceType
from kumamesh.settings import suggestion


def _names(type_: ResourceType) -> tuple[str, ...]:
    return (type_.plural, type_.singular, type_.path, *type_.path_aliases, type_.name)


_BY_NAME = {name.lower(): type_ for type_ in TYPES.values() for name in _names(type_)}


def find_type(name: str, offered: Sequence[ResourceType] | None = None) -> ResourceType:
    """The type for `dataplane`, `dataplanes`, `Dataplane` ...; raises UserError that names the nearest, or
    all, of those that are offered."""
    type_ = _BY_NAME.get(name.lower())
    if type_ is None and name.lower() in ("service", "services"):
        raise UserError("services are no resources: use `kumactl inspect services`")
    if type_ is None:
        offered = known_types() if offered is None else offered
        hint = (
            suggestion(name.lower(), [known.lower() for each in offered for known in _names(each)])
            or f". Known are: {', '.join(each.plural for each in offered)}"
        )
        raise UserError(f'unknown resource type "{name}"{hint}')
    return type_


def known_types() -> list[ResourceType]:
    """By plural."""
    return sorted(TYPES.values(), key=lambda type_: type_.plural)


def deletable_types() -> list[ResourceType]:
    """Without those that only the control plane writes."""
    return [type_ for type_ in known_types() if not type_.read_only]


def collection_path(type_: ResourceType, mesh: str) -> str:
    """The path of all resources of a type; `mesh` counts where the type has one."""
    return path_of("meshes", mesh, type_.path) if type_.mesh_scoped else path_of(type_.path)


def item_path(key: ResourceKey) -> str:
    return collection_path(TYPES[key.type], key.mesh) + path_of(key.name)


def missing(key: ResourceKey) -> str:
    """What a command says when the control plane does not have the resource."""
    where = f' in mesh "{key.mesh}"' if key.mesh else ""
    return f'there is no {key.type} with name "{key.name}"{where}'
