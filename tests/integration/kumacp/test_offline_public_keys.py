"""Public keys of tokens signed offline, read from files."""

from __future__ import annotations

from pathlib import Path

import pytest

from kumacp.identity.signing_keys_disk import load_public_keys
from kumamesh import tokens
from kumamesh.errors import UserError


def test_keys_by_kid(tmp_path: Path) -> None:
    pem = tokens.public_pem(tokens.generate_signing_key())
    path = tmp_path / "a=b.pem"
    path.write_bytes(pem)
    assert load_public_keys([f"k1={path}", f"k2={path}"]) == {"k1": pem, "k2": pem}


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("key.pem", "must be given as KID="),
        ("=key.pem", "must be given as KID="),
        ("k1=", "must be given as KID="),
        ("k1=/nowhere/key.pem", "cannot be read"),
    ],
)
def test_bad_entries(entry: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_public_keys([entry])


def test_a_private_key_is_refused_without_being_shown(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    path.write_bytes(tokens.generate_signing_key())
    with pytest.raises(UserError, match="holds no RSA public key") as caught:
        load_public_keys([f"k1={path}"])
    assert "PRIVATE" not in str(caught.value)
