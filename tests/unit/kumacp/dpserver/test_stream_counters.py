"""Numbers that the exporter reads."""

from __future__ import annotations

from kumacp.dpserver.stats import Histogram, short_type
from kumamesh.xds import CLUSTER


def test_observations_fall_into_the_bucket_of_their_upper_bound() -> None:
    histogram = Histogram(bounds=(0.1, 1.0))
    for seconds in (0.1, 0.2, 1.0, 5.0):
        histogram.observe(seconds)
    assert histogram.buckets == [1, 2, 1]
    assert (histogram.count, histogram.sum) == (4, 6.3)


def test_types_are_counted_by_their_last_name() -> None:
    assert short_type(CLUSTER) == "Cluster"
