"""Tables and ages."""

from datetime import UTC, datetime, timedelta

import pytest

from kumactl import table
from kumactl.ages import age, moment

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)


def test_columns_are_aligned_and_lines_end_without_spaces():
    text = table.render(
        ("SERVICE", "STATUS", "DATAPLANES"), [("web", "Online", "1/1"), ("backend-api", "Offline", "0/12")]
    )
    assert text.splitlines() == [
        "SERVICE       STATUS    DATAPLANES",
        "web           Online    1/1",
        "backend-api   Offline   0/12",
    ]


def test_an_empty_table_is_its_headers():
    assert table.render(("MESH", "NAME"), []) == "MESH   NAME"


def test_an_empty_last_cell_leaves_no_spaces():
    assert table.render(("A", "LONG"), [("x", "")]).splitlines()[1] == "x"


@pytest.mark.parametrize(
    ("ago", "text"),
    [
        (timedelta(0), "0s"),
        (timedelta(seconds=59.9), "59s"),
        (timedelta(seconds=60), "1m"),
        (timedelta(minutes=3, seconds=59), "3m"),
        (timedelta(hours=1), "1h"),
        (timedelta(hours=23, minutes=59), "23h"),
        (timedelta(days=2), "2d"),
        (timedelta(days=364), "364d"),
        (timedelta(days=365), "1y"),
        (timedelta(days=1000), "2y"),
        (timedelta(seconds=-30), "0s"),
    ],
)
def test_ages_have_their_largest_unit(ago, text):
    assert age((NOW - ago).isoformat(), NOW) == text


def test_times_with_z_and_fractions_are_read():
    assert age("2026-05-04T11:57:00.123456Z", NOW) == "2m"
    assert age("2026-05-04T13:57:00+02:00", NOW) == "3m"


@pytest.mark.parametrize("text", [None, "", "0001-01-01T00:00:00Z", "yesterday", "2026-05-04T11:57:00"])
def test_no_time_is_never(text):
    assert age(text, NOW) == "never"
    assert moment(text) == "-"


def test_moments_are_short():
    assert moment("2026-05-04T11:57:00.5Z") == "2026-05-04 11:57:00"
