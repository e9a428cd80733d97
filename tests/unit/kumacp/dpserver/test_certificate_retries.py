"""How long to wait after a certificate could not be issued."""

from __future__ import annotations

from kumacp.dpserver.identity_driver import retry_pause


def test_pauses_double_up_to_five_minutes_however_often_it_fails() -> None:
    assert [retry_pause(failures) for failures in (0, 1, 2, 5, 6, 100_000)] == [5, 10, 20, 160, 300, 300]
