"""Numbers that the exporter reads."""

from __future__ import annotations

from kumacp.dpserver.stats import long_type, short_type
from kumamesh.xds import CLUSTER


def test_types_are_counted_by_their_last_name_and_shown_whole() -> None:
    assert short_type(CLUSTER) == "Cluster"
    assert long_type("Cluster") == CLUSTER


def test_types_that_a_client_invents_are_one() -> None:
    assert short_type("type.googleapis.com/whatever.Cluster") == "other"
    assert long_type("other") == "other"
