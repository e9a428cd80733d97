"""What a user may do that is not open to everybody: the lists of `access.static` (contract 7.5)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum

from kumacp.api.auth import User
from kumacp.api.problem import denied
from kumacp.settings import CpSettings


class Right(Enum):
    """A right that is given by lists; the value says what it is to do, as errors tell it."""

    ADMIN_RESOURCES = "access secrets"
    GENERATE_DP_TOKEN = "generate a dataplane token"  # noqa: S105
    GENERATE_USER_TOKEN = "generate a user token"  # noqa: S105
    GENERATE_ZONE_TOKEN = "generate a zone token"  # noqa: S105
    VIEW_CONFIG_DUMP = "view a config dump"
    VIEW_STATS = "view stats"
    VIEW_CLUSTERS = "view clusters"
    CONTROL_PLANE_METADATA = "view the configuration of the control plane"


Lists = tuple[tuple[str, ...], tuple[str, ...]]
"""Users, groups."""

_LISTS: Mapping[Right, Callable[[CpSettings], Lists]] = {
    Right.ADMIN_RESOURCES: lambda s: (s.admin_resources_users, s.admin_resources_groups),
    Right.GENERATE_DP_TOKEN: lambda s: (s.generate_dp_token_users, s.generate_dp_token_groups),
    Right.GENERATE_USER_TOKEN: lambda s: (s.generate_user_token_users, s.generate_user_token_groups),
    Right.GENERATE_ZONE_TOKEN: lambda s: (s.generate_zone_token_users, s.generate_zone_token_groups),
    Right.VIEW_CONFIG_DUMP: lambda s: (s.view_config_dump_users, s.view_config_dump_groups),
    Right.VIEW_STATS: lambda s: (s.view_stats_users, s.view_stats_groups),
    Right.VIEW_CLUSTERS: lambda s: (s.view_clusters_users, s.view_clusters_groups),
    Right.CONTROL_PLANE_METADATA: lambda s: (s.control_plane_metadata_users, s.control_plane_metadata_groups),
}


def allows(user: User, right: Right, settings: CpSettings) -> bool:
    users, groups = _LISTS[right](settings)
    return user.name in users or not set(groups).isdisjoint(user.groups)


def require(user: User, right: Right, settings: CpSettings, what: str = "") -> None:
    """Raise Problem 403 when the user has not the right; `what` replaces its words in the error."""
    if not allows(user, right, settings):
        raise denied(f'user "{user}" cannot {what or right.value}')
