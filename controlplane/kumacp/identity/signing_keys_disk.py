"""Reads the public keys of tokens signed offline (contract 7.2)."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from kumacp.identity.signing_keys import is_rsa_public_key
from kumamesh.errors import UserError


def load_public_keys(entries: Iterable[str]) -> dict[str, bytes]:
    """PEM by `kid` from entries of the form KID=/path/to/key.pem; raises UserError."""
    keys: dict[str, bytes] = {}
    for entry in entries:
        kid, equals, path = entry.partition("=")
        if not equals or not kid or not path:
            raise UserError(f"the public key {entry!r} must be given as KID=/path/to/key.pem")
        try:
            pem = Path(path).expanduser().read_bytes()
        except OSError as error:
            raise UserError(
                f"the public key file {path} of KID {kid} cannot be read ({error.strerror}): correct the path"
            ) from error
        if not is_rsa_public_key(pem):
            raise UserError(
                f"{path} holds no RSA public key in PEM form: make it with kumactl generate public-key"
            )
        keys[kid] = pem
    return keys
