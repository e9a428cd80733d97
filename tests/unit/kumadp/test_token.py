"""The shape of a token."""

from __future__ import annotations

import base64
import json

import pytest

from kumadp.token import check_token
from kumamesh.errors import UserError

TOKEN = ".".join(
    base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()
    for part in ({"alg": "RS256"}, {"Name": "web"})
) + (".c2ln")


def test_white_space_around_is_tolerated() -> None:
    assert check_token(f"  {TOKEN}\n", "the token file /t") == TOKEN


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the token file /t is empty"),
        (" \n", "the token file /t is empty"),
        (f"{TOKEN}\n{TOKEN}", "must hold one line"),
        (f"a\0{TOKEN}", "must hold one line"),
        ("not-a-token", "does not hold a token"),
        ("a.b.c", "does not hold a token"),
    ],
)
def test_other_texts_are_refused_without_being_repeated(text: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        check_token(text, "the token file /t")
    assert message in str(caught.value)
    assert "kumactl generate dataplane-token" in str(caught.value)
    assert TOKEN not in str(caught.value)
    assert "not-a-token" not in str(caught.value)
