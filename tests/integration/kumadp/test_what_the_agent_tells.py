"""What the agent says of its surroundings when they are not as they should be."""

from __future__ import annotations

import base64
import json
import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from agent_runs import FAKE_ENVOY, Agents
from kumadp.bootstrap_client import BootstrapClient
from kumadp.retry import RetryPolicy


def test_an_envoy_that_asks_for_nothing_is_told_of_once(kuma_dp: Agents) -> None:
    log = str(kuma_dp.folder / "envoy.log")
    agent = kuma_dp.start(f"--binary-path={FAKE_ENVOY}", FAKE_ENVOY_LOG=log)
    agent.wait_until(lambda: "has not asked for its configuration" in agent.log, "the warning", timeout_s=60)
    assert agent.end() == 0
    (line,) = (line for line in agent.log.splitlines() if "has not asked" in line)
    assert " WARNING " in line
    assert "kuma-" in line
    assert "so this proxy is not ready: see Envoy's own log lines" in line


@contextmanager
def control_plane_with_a_clock(ahead_s: float) -> Iterator[str]:
    """A server whose clock is ahead of this host's; its URL. The first answer asks to come again."""
    answers = [
        (503, b"starting"),
        (200, json.dumps({"bootstrap": base64.b64encode(b"{}").decode()}).encode()),
    ]

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            status, body = answers.pop(0)
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def date_time_string(self, timestamp: float | None = None) -> str:
            return formatdate((timestamp or time.time()) + ahead_s, usegmt=True)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/bootstrap"
        finally:
            server.shutdown()
            serving.join()


@pytest.mark.parametrize(
    ("ahead", "words"),
    [
        (600.0, "s behind that of the control plane"),
        (-600.0, "s ahead of that of the control plane"),
        (0.0, ""),
    ],
)
async def test_clocks_that_differ_are_told_once(
    ahead: float, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    with control_plane_with_a_clock(ahead) as url:
        client = BootstrapClient(url, ca_pem="", ca_source="", verify=False)
        assert await client.fetch(dict, RetryPolicy(0.01, 60.0)) == "{}"
    told = [record for record in caplog.records if "the clock of this host" in record.getMessage()]
    assert len(told) == bool(words)
    assert all(words in record.getMessage() and record.levelno == logging.WARNING for record in told)
