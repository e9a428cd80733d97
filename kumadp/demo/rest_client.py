"""The few REST calls that the demo makes."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any

TIMEOUT_S = 10.0


def request(method: str, url: str, body: Any = None) -> tuple[int, bytes]:
    """(status, body); (0, b"") when nobody answers."""
    data = None if body is None else json.dumps(body).encode()
    call = urllib.request.Request(url, data, {"content-type": "application/json"}, method=method)  # noqa: S310
    try:
        with urllib.request.urlopen(call, timeout=TIMEOUT_S) as answer:  # noqa: S310
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()
    except (OSError, ValueError):
        return 0, b""


def get_json(url: str) -> Any:
    """The parsed body of a 200 answer, None otherwise."""
    status, body = request("GET", url)
    return json.loads(body) if status == 200 else None
