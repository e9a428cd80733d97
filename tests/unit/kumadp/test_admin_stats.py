"""Counting connections in Envoy's statistics."""

from __future__ import annotations

from kumadp.envoy.admin import count_active

STATS = """\
listener.127.0.0.1_10001.downstream_cx_active: 3
listener.127.0.0.1_10001.worker_0.downstream_cx_active: 2
listener.127.0.0.1_10001.worker_1.downstream_cx_active: 1
listener.[__1]_20000.downstream_cx_active: 4
listener.admin.downstream_cx_active: 1
listener.admin.main_thread.downstream_cx_active: 1
listener.127.0.0.1_10001.downstream_cx_total: 90
http.inbound.downstream_cx_active: 50
"""


def test_each_connection_of_a_listener_counts_once() -> None:
    assert count_active(STATS) == 7


def test_no_listeners_no_connections() -> None:
    assert count_active("") == 0
    assert count_active("nonsense\nlistener.x.downstream_cx_active: many\n") == 0
