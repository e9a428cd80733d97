from __future__ import annotations

import pytest

from kumacp.manager.membership import violations
from kumamesh.resource import Violation
from kumamesh.resources.dataplane import Dataplane, Gateway, Inbound, Networking
from kumamesh.resources.mesh import ConstraintRule, Constraints, DataplaneProxyConstraints, Mesh

WEB = {"kuma.io/service": "web", "team": "a"}
DB = {"kuma.io/service": "db", "team": "b"}


def mesh(requirements: list[dict[str, str]], restrictions: list[dict[str, str]]) -> Mesh:
    return Mesh(
        constraints=Constraints(
            dataplane_proxy=DataplaneProxyConstraints(
                requirements=tuple(ConstraintRule(tags=tags) for tags in requirements),
                restrictions=tuple(ConstraintRule(tags=tags) for tags in restrictions),
            )
        )
    )


def dataplane(*tag_sets: dict[str, str]) -> Dataplane:
    return Dataplane(
        networking=Networking(
            inbound=tuple(Inbound(port=80 + index, tags=tags) for index, tags in enumerate(tag_sets))
        )
    )


def fields(found: tuple[Violation, ...]) -> list[str]:
    return [violation.field for violation in found]


@pytest.mark.parametrize(
    ("requirements", "restrictions", "refused"),
    [
        ([], [], []),
        ([{"team": "a"}], [], [1]),
        ([{"team": "a"}, {"team": "b"}], [], []),
        ([{"team": "*"}], [], []),
        ([{"other": "*"}], [], [0, 1]),
        ([{"team": "a", "kuma.io/service": "db"}], [], [0, 1]),
        ([{}], [], []),
        ([], [{"team": "b"}], [1]),
        ([], [{"team": "*"}], [0, 1]),
        ([], [{"other": "*"}], []),
        ([{"team": "*"}], [{"kuma.io/service": "web", "team": "a"}], [0]),
    ],
)
def test_each_tag_set_meets_a_requirement_and_no_restriction(
    requirements: list[dict[str, str]], restrictions: list[dict[str, str]], refused: list[int]
) -> None:
    found = violations("m", mesh(requirements, restrictions), dataplane(WEB, DB))
    assert fields(found) == [f"networking.inbound[{index}].tags" for index in refused]


def test_tags_of_a_gateway_count_too() -> None:
    gateway = Dataplane(networking=Networking(gateway=Gateway(tags=WEB)))
    assert fields(violations("m", mesh([{"team": "b"}], []), gateway)) == ["networking.gateway.tags"]


def test_message_names_mesh_and_rule() -> None:
    (found,) = violations("m", mesh([], [{"team": "a", "kuma.io/service": "*"}]), dataplane(WEB))
    assert found.message == 'mesh "m" refuses proxies tagged kuma.io/service=*, team=a'
