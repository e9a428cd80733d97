"""What the diagnostics answer: readiness, metrics, and how much is logged (kuma-cp 1.4).

Everybody may look. What changes something, or tells of the inside, is for programs of the same host: the
server asks nobody who he is.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace

from kumacp.api import problem
from kumacp.api.auth import is_local
from kumacp.api.exchange import Answer, Request, json_answer, text_answer
from kumacp.api.problem import Problem
from kumacp.metrics import Metrics
from kumamesh.exposition import CONTENT_TYPE
from kumamesh.logs import Levels

log = logging.getLogger(__name__)

_LOOK = ("GET", "HEAD")
_KNOWN_KEYS = frozenset({"component", "level"})


class Diagnostics:
    """`debug` are the pages below /debug/, by name; none when they are not wanted."""

    def __init__(self, metrics: Metrics, levels: Levels, debug: Mapping[str, Callable[[], str]]) -> None:
        self._metrics = metrics
        self._levels = levels
        self._debug = debug
        self.ready = False

    def answer(self, request: Request) -> Answer:
        """Raises Problem."""
        match request.segments:
            case ("ready",):
                _only(request, _LOOK)
                return self._readiness()
            case ("healthy",):
                _only(request, _LOOK)
                return text_answer("healthy\n")
            case ("metrics",):
                _only(request, _LOOK)
                return Answer(200, self._metrics.render(), CONTENT_TYPE)
            case ("logging",):
                return self._logging(request)
            case ("logging", component):
                _only(request, ("DELETE",))
                return self._reset(request, component)
            case ("debug", page) if page in self._debug:
                _only(request, _LOOK)
                _same_host(request)
                return text_answer(self._debug[page]())
        raise problem.not_found("Not Found", f"there is no {request.path}; use {', '.join(self._paths())}")

    def _paths(self) -> list[str]:
        return ["/ready", "/healthy", "/metrics", "/logging", *(f"/debug/{page}" for page in self._debug)]

    def _readiness(self) -> Answer:
        if self.ready:
            return text_answer("ready\n")
        return replace(text_answer("not ready: the control plane is starting or stopping\n"), status=503)

    def _logging(self, request: Request) -> Answer:
        _only(request, (*_LOOK, "PUT", "DELETE"))
        if request.method in _LOOK:
            return json_answer({"level": self._levels.level, "components": self._levels.components})
        _same_host(request)
        if request.method == "PUT":
            return self._set(request)
        before = self._levels.reset()
        log.info("log levels are as configured again", extra={"level": self._levels.level})
        return json_answer({"components": before})

    def _set(self, request: Request) -> Answer:
        # curl calls whatever it sends a form; a page of another site cannot PUT without asking first.
        order = replace(request, headers={}).json_object()
        level, component = order.get("level"), order.get("component", "")
        if not (isinstance(level, str) and isinstance(component, str)) or order.keys() - _KNOWN_KEYS:
            raise Problem(
                400, problem.BAD_REQUEST, 'send {"level": "debug"}, or {"component": "xds", "level": "debug"}'
            )
        try:
            if component:
                self._levels.set_component(component, level)
            else:
                self._levels.set(level)
        except ValueError as error:
            raise Problem(400, problem.BAD_REQUEST, str(error)) from None
        log.info("log level set", extra={"level": level, "component": component or "all"})
        return Answer(200)

    def _reset(self, request: Request, component: str) -> Answer:
        _same_host(request)
        try:
            self._levels.reset_component(component)
        except ValueError as error:
            raise Problem(400, problem.BAD_REQUEST, str(error)) from None
        log.info("log level as for all again", extra={"component": component})
        return Answer(200)


def _only(request: Request, methods: tuple[str, ...]) -> None:
    if request.method not in methods:
        raise problem.not_allowed(f"{request.path} takes {', '.join(methods)}", methods)


def _same_host(request: Request) -> None:
    if not is_local(request.peer, request.scheme, request.headers):
        raise problem.denied(
            f"{request.path} is for programs of the control plane's host: ask http://localhost there, not "
            "through a proxy"
        )
