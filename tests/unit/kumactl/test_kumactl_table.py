"""Tables and ages."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kumactl.ages import age, moment
from kumactl.answer import plain
from kumactl.table import Table

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)


def test_columns_are_aligned_and_lines_end_without_spaces():
    table = Table(
        ("SERVICE", "STATUS", "DATAPLANES"), [("web", "Online", "1/1"), ("backend-api", "Offline", "0/12")]
    )
    assert table.text().splitlines() == [
        "SERVICE       STATUS    DATAPLANES",
        "web           Online    1/1",
        "backend-api   Offline   0/12",
    ]


def test_an_empty_table_is_its_headers():
    assert Table(("MESH", "NAME"), []).text() == "MESH   NAME"


def test_an_empty_last_cell_leaves_no_spaces():
    assert Table(("A", "LONG"), [("x", "")]).text().splitlines()[1] == "x"


DATAPLANES = Table(
    ("MESH", "NAME", "TAGS", "LAST CONNECTED AGO"),
    [
        ("default", "backend-1", "kuma.io/service=backend kuma.io/zone=zone-1 version=v1", "2h"),
        ("default", "web", "kuma.io/service=web", "never"),
    ],
)


def test_a_table_that_fits_the_terminal_is_the_same_as_for_programs():
    width = max(map(len, DATAPLANES.text().splitlines()))
    assert DATAPLANES.text(width) == DATAPLANES.text()
    assert DATAPLANES.text(width - 1) != DATAPLANES.text()


def test_a_table_that_is_a_little_too_wide_moves_together():
    width = max(map(len, DATAPLANES.text().splitlines()))
    assert DATAPLANES.text(width - 1) == re.sub(r"   (?=\S)", "  ", DATAPLANES.text())


def test_a_wide_table_is_folded_at_spaces():
    assert DATAPLANES.text(56).splitlines() == [
        "MESH     NAME       TAGS                     LAST",
        "                                             CONNECTED",
        "                                             AGO",
        "default  backend-1  kuma.io/service=backend  2h",
        "                    kuma.io/zone=zone-1",
        "                    version=v1",
        "default  web        kuma.io/service=web      never",
    ]


def test_a_table_that_cannot_be_folded_is_printed_in_blocks():
    table = Table(("NAME", "CERT EXPIRATION"), [("n" * 30, "2026-05-05 09:00:00"), ("b", "-")], "footer")
    assert table.text(35).splitlines() == [
        f"NAME              {'n' * 30}",
        "CERT EXPIRATION   2026-05-05",
        "                  09:00:00",
        "",
        "NAME              b",
        "CERT EXPIRATION   -",
        "",
        "footer",
    ]


def test_an_empty_table_is_one_line_on_every_terminal():
    assert Table(("MESH", "LONGHEADER"), []).text(5) == "MESH   LONGHEADER"


@pytest.mark.parametrize(
    ("name", "cells"), [("日本", 4), ("é", 1), ("e\u0301", 1), ("🐻", 2), ("a\u200db", 2)]
)
def test_letters_that_take_two_cells_or_none_do_not_move_columns(name, cells):
    line = Table(("NAME", "AGE"), [(name, "3m"), ("abcdef", "1h")]).text().splitlines()[1]
    assert line == f"{name}{' ' * (6 - cells)}   3m"


def test_names_do_not_steer_the_terminal():
    steering = "a\x1b[31m\r\nb\x9b\u202e\u2028\ud800"
    (line,) = Table(("NAME",), [(steering,)]).text().split("\n")[1:]
    assert line == "a\ufffd[31m\ufffd\ufffdb\ufffd\ufffd\ufffd\ufffd"


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.tuples(st.text(max_size=30), st.text(max_size=60), st.text(max_size=9)), max_size=4),
    st.integers(1, 120),
)
def test_no_form_loses_a_word(rows, columns):
    table = Table(("MESH", "LONG NAME", "AGE"), rows)
    words = [word for row in rows for cell in row for word in plain(cell).split(" ")]
    shown = table.text(columns).split("\n")
    for word in words:
        assert any(word in line for line in shown)


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
