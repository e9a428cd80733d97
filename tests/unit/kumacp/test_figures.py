"""Numbers that rooms count, and the text that Prometheus reads."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

from prometheus_client.parser import text_string_to_metric_families

from kumacp.figures import MAX_LABELS, OTHER, Histograms, HttpTraffic, count
from kumamesh.exposition import LATENCY_BOUNDS_S, Histogram, Kind, MetricSpec, Summary, exposition


def test_observations_fall_into_the_bucket_of_their_upper_bound() -> None:
    histogram = Histogram(bounds=(0.1, 1.0))
    for seconds in (0.1, 0.2, 1.0, 5.0):
        histogram.observe(seconds)
    assert histogram.buckets == [1, 2, 1]
    assert (histogram.count, histogram.sum) == (4, 6.3)


def test_latencies_from_a_millisecond_to_half_a_minute_can_be_told_apart() -> None:
    assert (LATENCY_BOUNDS_S[0], LATENCY_BOUNDS_S[-1]) == (0.001, 30.0)
    steps = [later / earlier for earlier, later in pairwise(LATENCY_BOUNDS_S)]
    assert max(steps) <= 2.5 + 1e-9


def test_labels_that_never_end_are_counted_together() -> None:
    counter: Counter[str] = Counter()
    for number in range(3 * MAX_LABELS):
        count(counter, f"mesh-{number}")
    count(counter, "mesh-0")
    assert len(counter) == MAX_LABELS + 1
    assert counter["mesh-0"] == 2
    assert counter[OTHER] == 2 * MAX_LABELS
    timings = Histograms()
    for number in range(3 * MAX_LABELS):
        timings.observe(("get", f"type-{number}"), 0.1)
    assert len(timings.by_labels) == MAX_LABELS + 1
    assert timings.by_labels[OTHER, OTHER].count == 2 * MAX_LABELS


def test_requests_without_an_answer_and_invented_methods_have_labels_of_their_own() -> None:
    traffic = HttpTraffic()
    traffic.ended("GET", 200, 0.1)
    traffic.ended("GET", None, 0.1)
    traffic.ended("BREW", 405, 0.1)
    assert list(traffic.durations.by_labels) == [("200", "GET"), ("aborted", "GET"), ("405", OTHER)]


def test_another_reader_understands_every_kind() -> None:
    histogram = Histogram(bounds=(0.1, 1.0))
    histogram.observe(0.5)
    text = exposition(
        [
            (MetricSpec("a_total", "Things"), 3),
            (MetricSpec("b", "Names", Kind.GAUGE, ("name",)), {'x"y\\z\nw': 1}),
            (MetricSpec("c", "Times", Kind.HISTOGRAM, ("op", "type")), {("get", "Mesh"): histogram}),
            (MetricSpec("d", "Sums", Kind.SUMMARY), Summary(2, 7.5)),
        ]
    )
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert {name: family.type for name, family in families.items()} == {
        "a": "counter",
        "b": "gauge",
        "c": "histogram",
        "d": "summary",
    }
    samples = [
        (sample.name, sample.labels, sample.value)
        for family in families.values()
        for sample in family.samples
    ]
    labels = {"op": "get", "type": "Mesh"}
    assert samples == [
        ("a_total", {}, 3.0),
        ("b", {"name": 'x"y\\z\nw'}, 1.0),
        ("c_bucket", {**labels, "le": "0.1"}, 0.0),
        ("c_bucket", {**labels, "le": "1.0"}, 1.0),
        ("c_bucket", {**labels, "le": "+Inf"}, 1.0),
        ("c_sum", labels, 0.5),
        ("c_count", labels, 1.0),
        ("d_sum", {}, 7.5),
        ("d_count", {}, 2.0),
    ]
