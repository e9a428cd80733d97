"""Who may call whom: TrafficPermission and MeshTrafficPermission (kuma-cp 2.10, 2.11; contract 5.6)."""

from __future__ import annotations

from typing import Literal

from pydantic import AliasChoices, Field

from kumamesh.resources.base import EMPTY, Spec, Tags


class Selector(Spec):
    match: Tags = EMPTY


class TrafficPermission(Spec):
    sources: tuple[Selector, ...] = ()
    destinations: tuple[Selector, ...] = ()


Action = Literal["Allow", "Deny", "AllowWithShadowDeny"]


class TargetRef(Spec):
    kind: str = ""
    name: str = ""
    namespace: str = ""
    labels: Tags = EMPTY
    tags: Tags = EMPTY
    section_name: str = ""
    mesh: str = ""
    proxy_types: tuple[str, ...] = ()


class FromDefault(Spec):
    action: Action | None = None


class From(Spec):
    target_ref: TargetRef | None = None
    default: FromDefault = FromDefault()


class SpiffeId(Spec):
    type: Literal["Exact", "Prefix"] | None = None
    value: str = ""


class Sni(Spec):
    type: Literal["Exact"] | None = None
    value: str = ""


class Match(Spec):
    spiffe_id: SpiffeId | None = Field(
        default=None, validation_alias=AliasChoices("spiffeID", "spiffeId"), serialization_alias="spiffeID"
    )
    sni: Sni | None = None


class RuleDefault(Spec):
    allow: tuple[Match, ...] = ()
    deny: tuple[Match, ...] = ()
    allow_with_shadow_deny: tuple[Match, ...] = ()


class Rule(Spec):
    default: RuleDefault = RuleDefault()


class MeshTrafficPermission(Spec):
    """Either the `from` form (clients by tags) or the `rules` form (clients by SPIFFE id)."""

    target_ref: TargetRef | None = None
    from_: tuple[From, ...] = Field(default=(), validation_alias="from", serialization_alias="from")
    rules: tuple[Rule, ...] = ()
