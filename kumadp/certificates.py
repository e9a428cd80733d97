"""The certificates of a PEM file, and nothing else that may be in it (RFC 7468). Pure."""

from __future__ import annotations

import re

from kumamesh.errors import UserError

_BLOCK = re.compile(r"-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----", re.ASCII)


def certificates(text: str, source: str) -> str:
    """One block after the other. Comments need not be ASCII, and a private key beside the certificate must
    not travel to the control plane. Raises UserError when there is none: trusting everybody's authorities
    instead is not what the user asked for."""
    blocks = _BLOCK.findall(text)
    if not blocks:
        raise UserError(
            f"{source} holds no certificate in PEM form, from -----BEGIN CERTIFICATE----- to the END line"
        )
    return "".join(block.replace("\r\n", "\n") + "\n" for block in blocks)
