"""Who may ask the diagnostics what (kuma-cp 1.4)."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from kumacp.api.exchange import Answer, Request
from kumacp.api.problem import Problem
from kumacp.diagnostics import Diagnostics
from kumacp.metrics import Metrics
from kumamesh import logs

LOCAL = {"host": "localhost:5680"}
COMPONENT = "kumacp.diagnostics"


@pytest.fixture
def diagnostics() -> Iterator[Diagnostics]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    levels = logs.configure("info", "text", io.StringIO(), package="kumacp")
    yield Diagnostics(Metrics(), levels, {"tasks": lambda: "3 tasks"})
    levels.reset()
    root.handlers[:] = handlers
    root.setLevel(level)


def ask(
    diagnostics: Diagnostics,
    method: str,
    path: str,
    body: object = None,
    *,
    peer: str = "127.0.0.1",
    headers: dict[str, str] | None = None,
) -> Answer:
    request = Request(
        method=method,
        segments=tuple(path.strip("/").split("/")),
        headers=LOCAL if headers is None else headers,
        body=body if isinstance(body, bytes) else json.dumps(body).encode(),
        peer=peer,
    )
    return diagnostics.answer(request)


def refusal(diagnostics: Diagnostics, *arguments: object, **more: object) -> int:
    with pytest.raises(Problem) as caught:
        ask(diagnostics, *arguments, **more)  # type: ignore[arg-type]
    return caught.value.status


def shown(diagnostics: Diagnostics) -> dict[str, object]:
    found: dict[str, object] = json.loads(ask(diagnostics, "GET", "/logging", peer="10.0.0.9").body)
    return found


def test_levels_are_shown_to_everybody_set_and_reset(diagnostics: Diagnostics) -> None:
    assert shown(diagnostics) == {"level": "info", "components": {}}
    assert ask(diagnostics, "PUT", "/logging", {"level": "debug"}) == Answer(200)
    assert ask(diagnostics, "PUT", "/logging", {"component": "diagnostics", "level": "off"}) == Answer(200)
    assert shown(diagnostics) == {"level": "debug", "components": {COMPONENT: "off"}}
    assert not logging.getLogger(COMPONENT).isEnabledFor(logging.CRITICAL)
    reset = ask(diagnostics, "DELETE", "/logging")
    assert json.loads(reset.body) == {"components": {COMPONENT: "off"}}
    assert shown(diagnostics) == {"level": "info", "components": {}}


def test_one_component_is_reset_alone(diagnostics: Diagnostics) -> None:
    ask(diagnostics, "PUT", "/logging", {"component": COMPONENT, "level": "debug"})
    ask(diagnostics, "PUT", "/logging", {"component": "kumacp", "level": "off"})
    assert ask(diagnostics, "DELETE", f"/logging/{COMPONENT}") == Answer(200)
    assert shown(diagnostics) == {"level": "info", "components": {"kumacp": "off"}}


def test_what_curl_calls_a_form_is_taken(diagnostics: Diagnostics) -> None:
    headers = {**LOCAL, "content-type": "application/x-www-form-urlencoded"}
    assert ask(diagnostics, "PUT", "/logging", {"level": "debug"}, headers=headers) == Answer(200)


@pytest.mark.parametrize(
    "more",
    [
        {"peer": "10.0.0.9"},
        {"peer": ""},
        {"headers": {**LOCAL, "x-forwarded-for": "127.0.0.1"}},
        {"headers": {"host": "diagnostics.example.com"}},
        {"headers": {**LOCAL, "origin": "http://evil.example.com"}},
        {"headers": {**LOCAL, "sec-fetch-site": "cross-site"}},
    ],
)
def test_others_may_look_and_change_nothing(diagnostics: Diagnostics, more: dict[str, object]) -> None:
    assert refusal(diagnostics, "PUT", "/logging", {"level": "debug"}, **more) == 403
    assert refusal(diagnostics, "DELETE", "/logging", **more) == 403
    assert refusal(diagnostics, "DELETE", f"/logging/{COMPONENT}", **more) == 403
    assert refusal(diagnostics, "GET", "/debug/tasks", **more) == 403
    assert ask(diagnostics, "GET", "/metrics", **more).status == 200  # type: ignore[arg-type]
    assert shown(diagnostics) == {"level": "info", "components": {}}


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"",
        b"[]",
        b"\xff",
        {"level": "loud"},
        {"level": None},
        {"level": ["debug"]},
        {"component": COMPONENT},
        {"component": "../../etc", "level": "debug"},
        {"component": 7, "level": "debug"},
        {"level": "debug", "lvl": "off"},
    ],
)
def test_orders_that_cannot_be_understood_change_nothing(diagnostics: Diagnostics, body: object) -> None:
    assert refusal(diagnostics, "PUT", "/logging", body) == 400
    assert shown(diagnostics) == {"level": "info", "components": {}}


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/logging", 405),
        ("GET", f"/logging/{COMPONENT}", 405),
        ("DELETE", "/logging/no-such-component", 400),
        ("PUT", "/ready", 405),
        ("POST", "/metrics", 405),
        ("GET", "/debug/memory", 404),
        ("GET", "/debug", 404),
        ("GET", "/logging/a/b", 404),
        ("GET", "/other", 404),
    ],
)
def test_other_methods_and_paths_are_refused(
    diagnostics: Diagnostics, method: str, path: str, status: int
) -> None:
    assert refusal(diagnostics, method, path) == status


def test_debug_pages_are_for_this_host(diagnostics: Diagnostics) -> None:
    assert ask(diagnostics, "GET", "/debug/tasks").body == b"3 tasks"
