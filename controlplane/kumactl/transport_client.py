"""HTTP to servers that need not mean well: every answer ends, in bounded time and in bounded memory."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import urllib3

from kumamesh.errors import UserError

MAX_ANSWER_BYTES = 128 * 2**20
"""More than the configuration of the largest proxy."""
_BLOCK_BYTES = 256 * 1024

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Reply:
    """Status and whole body; the body may hold secrets."""

    status: int
    body: bytes = field(repr=False)


class TooLarge(UserError):
    """The answer does not end within the limit."""


def fetch(
    pool: urllib3.PoolManager,
    method: str,
    url: str,
    *,
    timeout_s: float,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    limit: int | None = None,
) -> Reply:
    """The answer to a request; `timeout_s` is for all of it, 0 is no limit. Raises urllib3's HTTPError, and
    TooLarge for a body of more than `limit` bytes."""
    most = MAX_ANSWER_BYTES if limit is None else limit

    def exchange() -> Reply:
        # Decoding could make a large answer of a small one.
        with pool.request(method, url, body=body, headers=headers, preload_content=False) as response:
            content = bytearray()
            # Read to the end: only there urllib3 notices that something is missing.
            while block := response.read(_BLOCK_BYTES, decode_content=False):
                content += block
                if len(content) > most:
                    raise TooLarge(f"the answer is larger than {most >> 20} MiB")
        return Reply(response.status, bytes(content))

    return _within(timeout_s, exchange)


def _within(timeout_s: float, call: Callable[[], T]) -> T:
    """What the call returns or raises. The timeouts of sockets begin anew with every byte, and names are
    looked up without any: a thread that is left behind when time is up has neither gap."""
    if not timeout_s:
        return call()
    outcomes: queue.Queue[tuple[T | None, BaseException | None]] = queue.Queue()

    def run() -> None:
        try:
            outcomes.put((call(), None))
        except BaseException as error:  # noqa: BLE001 -- raised again where the call was wanted
            outcomes.put((None, error))

    threading.Thread(target=run, daemon=True).start()
    try:
        result, error = outcomes.get(timeout=timeout_s)
    except queue.Empty:
        raise urllib3.exceptions.TimeoutError from None
    if error is not None:
        raise error
    return result  # type: ignore[return-value]  # there is no error, so there is a result


def failure_reason(error: urllib3.exceptions.HTTPError) -> str:
    """Why a server gave no answer."""
    # The order matters: a connection that cannot be made is a timeout too in urllib3's family of errors.
    if isinstance(error, urllib3.exceptions.NameResolutionError):
        return "its host name is not known"
    if isinstance(error, urllib3.exceptions.NewConnectionError):
        return "nobody listens there"
    if isinstance(error, urllib3.exceptions.TimeoutError):
        return "it does not answer in time (--api-timeout)"
    if "IncompleteRead" in str(error):
        return "it ends the connection in the middle of its answer"
    if isinstance(error, urllib3.exceptions.ProtocolError):
        return "it ends the connection without an answer; perhaps it speaks https"
    if isinstance(error, urllib3.exceptions.SSLError) and "WRONG_VERSION_NUMBER" in str(error):
        return "it does not speak https"
    return "its certificate is not trusted" if is_distrust(error) else str(error)


def is_distrust(error: urllib3.exceptions.HTTPError) -> bool:
    """Whether the connection failed because of the server's certificate."""
    return isinstance(error, urllib3.exceptions.SSLError) and "CERTIFICATE_VERIFY_FAILED" in str(error)
