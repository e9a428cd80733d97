"""Pages of lists as answers, made little by little."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from typing import Any, TypeVar

from kumacp.api.exchange import Answer, json_answer
from kumacp.api.listing import Page, Query, page_document

ITEMS_AT_A_TIME = 20
"""A few milliseconds of work. A page of 1,000 overviews takes 0.1 s: in one go, every push would wait that
long."""

T = TypeVar("T")


async def page_answer(
    items: Iterable[T], page: Page, show: Callable[[T], Any], *, url: str, query: Query
) -> Answer:
    """`page_document` as an answer. Between two handfuls of items everybody else gets a turn."""
    document = page_document(items, page, lambda item: item, url=url, query=query)
    chosen: list[T] = document["items"]
    parts = []
    for start in range(0, len(chosen), ITEMS_AT_A_TIME):
        if start:
            await _OthersFirst()
        parts.append(_text([show(item) for item in chosen[start : start + ITEMS_AT_A_TIME]])[1:-1])
    total, following = _text(document["total"]), _text(document["next"])
    body = b'{"total":%b,"items":[%b],"next":%b}' % (total, b",".join(parts), following)
    return Answer(body=body)


class _OthersFirst:
    """Awaited, it lets all that is ready run before what follows."""

    def __await__(self) -> Generator[None, None, None]:
        yield


def _text(value: Any) -> bytes:
    return json_answer(value).body
