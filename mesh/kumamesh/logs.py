"""Log lines as text or JSON, one per state change; `extra={...}` gives key-value pairs.

Whatever a message or a value holds, a line is one line: names and reasons that come from elsewhere can
neither begin another one nor command the terminal.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from typing import Any, TextIO

from kumamesh.settings import suggestion

LEVELS = {"off": logging.CRITICAL + 10, "info": logging.INFO, "debug": logging.DEBUG}

MAX_TEXT_CHARS = 8_192
"""Of a message, or of one value: what is longer is cut."""

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_LIBRARIES = ("asyncio", "aiosqlite", "alembic", "sqlalchemy", "aiohttp", "urllib3", "grpc")
"""They speak at WARNING and above: their chatter hides state changes."""


class Levels:
    """How much is logged while the program runs: by all, and by single components. A component is a logger
    with all below it; those of `package` may be called without its name: `dpserver` is `kumacp.dpserver`."""

    def __init__(self, configured: str, package: str = "") -> None:
        self._configured = configured
        self._package = package
        self._overrides: dict[str, str] = {}
        self.set(configured)

    @property
    def level(self) -> str:
        return self._level

    @property
    def components(self) -> dict[str, str]:
        """Those with a level of their own."""
        return dict(self._overrides)

    def set(self, level: str) -> None:
        """For all that have no level of their own. Raises ValueError."""
        number = _number(level)
        self._level = level
        logging.getLogger().setLevel(number)
        for name in _LIBRARIES:
            if name not in self._overrides:
                logging.getLogger(name).setLevel(self._default(name))

    def set_component(self, component: str, level: str) -> None:
        """Raises ValueError, also for a component that does not log."""
        name, number = self._logger(component), _number(level)
        self._overrides[name] = level
        logging.getLogger(name).setLevel(number)

    def reset_component(self, component: str) -> None:
        """It logs as much as all again. Raises ValueError."""
        name = self._logger(component)
        self._overrides.pop(name, None)
        logging.getLogger(name).setLevel(self._default(name))

    def reset(self) -> dict[str, str]:
        """Everything as it was configured; the levels of components until now."""
        before = self.components
        for name in before:
            self.reset_component(name)
        self.set(self._configured)
        return before

    def _default(self, name: str) -> int:
        return max(logging.WARNING, LEVELS[self._level]) if name in _LIBRARIES else logging.NOTSET

    def _logger(self, component: str) -> str:
        known = _loggers()
        for name in (f"{self._package}.{component}", component):
            if name in known:
                return name
        short = (name.removeprefix(f"{self._package}.") for name in known)
        raise ValueError(f"there is no component {component[:100]!a}{suggestion(component[:100], short)}")


def configure(level: str, style: str = "text", stream: TextIO | None = None, *, package: str = "") -> Levels:
    """Send all log records to the stream (default stderr); `level` is off, info or debug."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(_Json() if style == "json" else _Text())
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    return Levels(level, package)


def _number(level: str) -> int:
    try:
        return LEVELS[level]
    except KeyError:
        raise ValueError(f"the level must be one of {', '.join(LEVELS)}") from None


def _loggers() -> set[str]:
    """Names of all loggers and of what they are below."""
    return set(logging.getLogger().manager.loggerDict)


def _pairs(record: logging.LogRecord) -> dict[str, Any]:
    return {key: value for key, value in vars(record).items() if key not in _STANDARD}


def _moment(record: logging.LogRecord) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z"


def _cut(text: str) -> str:
    return text if len(text) <= MAX_TEXT_CHARS else f"{text[:MAX_TEXT_CHARS]}... ({len(text)} characters)"


def _plain(text: str) -> str:
    """The text with what does not print written as Python would write it."""
    text = _cut(text)
    return text if text.isprintable() else "".join(map(_printable, text))


def _printable(char: str) -> str:
    return char if char.isprintable() else ascii(char)[1:-1]


def _value(value: Any) -> str:
    """In quotes when it could be taken for more than one value."""
    text = str(value)
    if text and not any(char.isspace() or char in '"=' for char in text):
        return _plain(text)
    return _plain(json.dumps(_cut(text), ensure_ascii=False))


class _Text(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        pairs = "".join(f" {key}={_value(value)}" for key, value in _pairs(record).items())
        message = _plain(record.getMessage())
        return f"{_moment(record)} {record.levelname:<7} {record.name}: {message}{pairs}{self._trace(record)}"

    def _trace(self, record: logging.LogRecord) -> str:
        """Indented, so that no line of it can pass for one of the log."""
        if not record.exc_info:
            return ""
        return "".join(f"\n    {_plain(line)}" for line in self.formatException(record.exc_info).splitlines())


def _bounded(value: Any) -> Any:
    return _cut(value) if isinstance(value, str) else value


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": _moment(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _cut(record.getMessage()),
            **{key: _bounded(value) for key, value in _pairs(record).items()},
        }
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)
