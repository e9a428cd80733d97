"""Pages as answers: the same documents as in one go, and turns for everybody else in between."""

import json

from hypothesis import given
from hypothesis import strategies as st

from kumacp.api.exchange import json_answer
from kumacp.api.listing import Page, page_document
from kumacp.api.pages import ITEMS_AT_A_TIME, page_answer


def show(number):
    return {"name": f"é-{number}", "spec": [number]}


def drive(coroutine):
    """The result, and how often the coroutine let others go first."""
    turns = 0
    while True:
        try:
            assert coroutine.send(None) is None
        except StopIteration as end:
            return end.value, turns
        turns += 1


@given(
    total=st.integers(0, 5 * ITEMS_AT_A_TIME),
    size=st.integers(1, 5 * ITEMS_AT_A_TIME),
    offset=st.integers(0, 5 * ITEMS_AT_A_TIME),
)
def test_answer_is_the_document_of_the_page(total, size, offset):
    rest = {"url": "http://cp/zones", "query": [("name", "a")]}
    answer, _ = drive(page_answer(range(total), Page(size, offset), show, **rest))
    assert answer == json_answer(page_document(range(total), Page(size, offset), show, **rest))
    json.loads(answer.body)


def test_others_go_first_after_every_handful():
    for count, expected in ((0, 0), (ITEMS_AT_A_TIME, 0), (ITEMS_AT_A_TIME + 1, 1), (5 * ITEMS_AT_A_TIME, 4)):
        _, turns = drive(page_answer(range(count), Page(1000, 0), show, url="", query=[]))
        assert turns == expected


def test_only_what_is_on_the_page_is_shown():
    shown = []
    drive(page_answer(range(100), Page(3, 40), shown.append, url="", query=[]))
    assert shown == [40, 41, 42]
