"""What is computed of all thousand proxies when somebody asks, and what that does to those who do not ask."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator

from fleet import FLUSH_S, Fleet, Rest, Shape, fleet
from probe import Row, shown_ms

SHAPE = Shape(proxies=1000, services=100, outbounds=10)
QUESTIONS = {
    "all overviews": "/meshes/default/dataplanes/_overview?size=1000",
    "all service insights": "/meshes/default/service-insights?size=1000",
    "the mesh insight": "/mesh-insights/default",
}
ASKED = 25
POLL_S = 0.1
ROUNDS = 6
CHANGES = 40
ROUND_S = 4.0


def answer_times(made: Fleet, path: str) -> list[float]:
    times: list[float] = []
    over = time.monotonic() + ROUND_S
    while len(times) < ASKED and time.monotonic() < over:
        begin = time.perf_counter()
        made.rest.get(path)
        times.append(time.perf_counter() - begin)
    return times


@contextlib.contextmanager
def polling(made: Fleet, path: str) -> Iterator[None]:
    """Somebody asks every POLL_S, or as often as the answers come if they take longer."""
    over = threading.Event()

    def poll() -> None:
        rest = Rest(made.plane)
        while not over.is_set():
            begin = time.monotonic()
            rest.get(path)
            over.wait(max(0.0, begin + POLL_S - time.monotonic()))

    thread = threading.Thread(target=poll)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def run() -> list[Row]:
    with fleet(SHAPE.documents(), SHAPE.services) as made:
        made.connect()
        time.sleep(FLUSH_S)
        answers = {name: answer_times(made, path) for name, path in QUESTIONS.items()}
        alone: list[float] = []
        polled: list[float] = []
        for _ in range(ROUNDS):
            alone += made.changes(CHANGES, ROUND_S)
            with polling(made, QUESTIONS["all overviews"]):
                polled += made.changes(CHANGES, ROUND_S)
    name = f"fleet of {SHAPE.proxies}"
    change = f"{name}, endpoint change -> ACK of all {SHAPE.subscribers}"
    return [
        *((f"{name}, {question}", shown_ms(times), "") for question, times in answers.items()),
        (f"{change}, nobody asks", shown_ms(alone), ""),
        (f"{change}, all overviews every {POLL_S * 1000:.0f} ms", shown_ms(polled), "p99 <= 1 s"),
    ]


if __name__ == "__main__":
    for line in run():
        print("  ".join(line))
