"""The shape of the proxy's token (kuma-dp 1.4); only the control plane can say whether it is valid."""

from __future__ import annotations

from kumamesh.errors import UserError
from kumamesh.jwt_peek import MalformedToken, peek

_REMEDY = "make one with `kumactl generate dataplane-token` (zone proxies: `zone-token`)"

VISIBLE_WARNING = (
    "--dataplane-token shows the token to every user of this host who lists processes; "
    "use --dataplane-token-file or the variable KUMA_DATAPLANE_RUNTIME_TOKEN"
)


def check_token(text: str, source: str) -> str:
    """The token without the white space around it; raises UserError that never repeats the token."""
    token = text.strip()
    if not token:
        raise UserError(f"{source} is empty; {_REMEDY}")
    if any(sign in token for sign in "\n\r\0"):
        raise UserError(f"{source} must hold one line, the token, and nothing else; {_REMEDY}")
    try:
        peek(token)
    except MalformedToken as error:
        raise UserError(f"{source} does not hold a token: {error}; {_REMEDY}") from None
    return token
