"""Inputs that broke something once."""

from __future__ import annotations

import pytest

import fuzz
from fuzz_targets import ALL

_TARGETS = {target.name: target for target in ALL}
_TIME = b'{"type": "Secret", "mesh": "default", "name": "a", "data": "", "creationTime": "%s"}'


@pytest.mark.parametrize(
    ("target", "data", "outcome"),
    [
        # Matching the blanks around a name took time to the third power.
        ("templates", b"{{{" + b" " * 4_000, "rendered"),
        ("templates", (b"{{ name }}\n" * 500) + b"{{{{ " + b"\t" * 4_000, "rendered"),
        ("templates", b"{{ na\nme }}", "seed.yaml:1: only variables"),
        # In its own time zone the year is 1, in UTC it would be 0.
        ("REST bodies", _TIME % b"0001-01-01T00:00:00+23:59", "must be an RFC 3339 time"),
        ("REST bodies", _TIME % b"9999-12-31T23:59:59-23:59", "must be an RFC 3339 time"),
        ("durations", "٣s".encode(), "is not a duration"),
        # The host of a URL was taken to begin at the bracket.
        ("who is local", b"::1\nhost: evil.example[::1]:5681", "False"),
        ("who is local", b"127.0.0.1\nhost: localhost/..", "False"),
        ("bootstrap answers", b"422\n\x1b[2Jnetworking\x07: no", "the control plane refuses this proxy"),
        ("resource files", b"type: |\n  a\n  b\nname: c\n", "dp.yaml: the type is a b, but"),
    ],
)
def test_it_is_refused_in_one_line_and_soon(target: str, data: bytes, outcome: str) -> None:
    assert outcome in fuzz.judge(_TARGETS[target], data)[1]
