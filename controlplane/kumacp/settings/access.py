"""Who may do what that is not open to everybody, as fixed lists (contract 7.5)."""

from __future__ import annotations

from dataclasses import dataclass

from kumamesh.settings import option

_ADMIN = ("mesh-system:admin",)
_EVERYBODY = ("mesh-system:unauthenticated", "mesh-system:authenticated")


@dataclass(frozen=True)
class AccessSettings:
    """`access` of the file. A user may do what a list of its kind names it for, or one of its groups."""

    access_type: str = option(
        "static",
        env="KUMA_ACCESS_TYPE",
        key="access.type",
        choices=("static",),
        help="How access is decided: by the lists below",
    )
    admin_resources_users: tuple[str, ...] = option(
        _ADMIN,
        env="KUMA_ACCESS_STATIC_ADMIN_RESOURCES_USERS",
        key="access.static.adminResources.users",
        help="Users that may read and write secrets",
    )
    admin_resources_groups: tuple[str, ...] = option(
        _ADMIN,
        env="KUMA_ACCESS_STATIC_ADMIN_RESOURCES_GROUPS",
        key="access.static.adminResources.groups",
        help="Groups that may read and write secrets",
    )
    generate_dp_token_users: tuple[str, ...] = option(
        _ADMIN,
        env="KUMA_ACCESS_STATIC_GENERATE_DP_TOKEN_USERS",
        key="access.static.generateDpToken.users",
        help="Users that may make dataplane tokens",
    )
    generate_dp_token_groups: tuple[str, ...] = option(
        _ADMIN,
        env="KUMA_ACCESS_STATIC_GENERATE_DP_TOKEN_GROUPS",
        key="access.static.generateDpToken.groups",
        help="Groups that may make dataplane tokens",
    )
    generate_user_token_users: tuple[str, ...] = option(
        _ADMIN,
        env="KUMA_ACCESS_STATIC_GENERATE_USER_TOKEN_USERS",
        key="access.static.generateUserToken.users",
        help="Users that may make user tokens",
    )
    generate_user_token_groups: tuple[str, ...] = option(
        _ADMIN,
        env="KUMA_ACCESS_STATIC_GENERATE_USER_TOKEN_GROUPS",
        key="access.static.generateUserToken.groups",
        help="Groups that may make user tokens",
    )
    generate_zone_token_users: tuple[str, ...] = option(
        _ADMIN,
        env="KUMA_ACCESS_STATIC_GENERATE_ZONE_TOKEN_USERS",
        key="access.static.generateZoneToken.users",
        help="Users that may make zone tokens",
    )
    generate_zone_token_groups: tuple[str, ...] = option(
        _ADMIN,
        env="KUMA_ACCESS_STATIC_GENERATE_ZONE_TOKEN_GROUPS",
        key="access.static.generateZoneToken.groups",
        help="Groups that may make zone tokens",
    )
    view_config_dump_users: tuple[str, ...] = option(
        (),
        env="KUMA_ACCESS_STATIC_VIEW_CONFIG_DUMP_USERS",
        key="access.static.viewConfigDump.users",
        help="Users that may see the configuration of an Envoy",
    )
    view_config_dump_groups: tuple[str, ...] = option(
        _EVERYBODY,
        env="KUMA_ACCESS_STATIC_VIEW_CONFIG_DUMP_GROUPS",
        key="access.static.viewConfigDump.groups",
        help="Groups that may see the configuration of an Envoy",
    )
    view_stats_users: tuple[str, ...] = option(
        (),
        env="KUMA_ACCESS_STATIC_VIEW_STATS_USERS",
        key="access.static.viewStats.users",
        help="Users that may see the statistics of an Envoy",
    )
    view_stats_groups: tuple[str, ...] = option(
        _EVERYBODY,
        env="KUMA_ACCESS_STATIC_VIEW_STATS_GROUPS",
        key="access.static.viewStats.groups",
        help="Groups that may see the statistics of an Envoy",
    )
    view_clusters_users: tuple[str, ...] = option(
        (),
        env="KUMA_ACCESS_STATIC_VIEW_CLUSTERS_USERS",
        key="access.static.viewClusters.users",
        help="Users that may see the clusters of an Envoy",
    )
    view_clusters_groups: tuple[str, ...] = option(
        _EVERYBODY,
        env="KUMA_ACCESS_STATIC_VIEW_CLUSTERS_GROUPS",
        key="access.static.viewClusters.groups",
        help="Groups that may see the clusters of an Envoy",
    )
    control_plane_metadata_users: tuple[str, ...] = option(
        (),
        env="KUMA_ACCESS_STATIC_CONTROL_PLANE_METADATA_USERS",
        key="access.static.controlPlaneMetadata.users",
        help="Users that may see the control plane's own configuration",
    )
    control_plane_metadata_groups: tuple[str, ...] = option(
        _EVERYBODY,
        env="KUMA_ACCESS_STATIC_CONTROL_PLANE_METADATA_GROUPS",
        key="access.static.controlPlaneMetadata.groups",
        help="Groups that may see the control plane's own configuration",
    )
