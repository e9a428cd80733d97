"""An endpoint changes: how long until every subscribed proxy has acknowledged, when all call one service."""

from __future__ import annotations

from fleet import dataplane, fleet, service
from probe import Row, shown_ms

CLIENTS = (1, 100, 1000)
ROUNDS = 50
ROUNDS_S = 30.0
GOALS = {1: "p99 <= 50 ms", 1000: "p99 <= 1 s"}


def one_size(count: int) -> list[Row]:
    callers = [dataplane(f"web-{number}", number, 8080, "web", [service(0)]) for number in range(count)]
    with fleet(callers, services=1) as made:
        connected = made.connect(processes=1)
        times = made.changes(ROUNDS, ROUNDS_S)
    rows = [(f"endpoint change -> ACK of {count}", shown_ms(times), GOALS.get(count, ""))]
    if count > 1:
        rows.append((f"{count} proxies connect and are configured", f"{connected:.1f} s", ""))
    return rows


def run() -> list[Row]:
    return [row for count in CLIENTS for row in one_size(count)]


if __name__ == "__main__":
    for line in run():
        print("  ".join(line))
