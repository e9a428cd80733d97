"""Configuration of Envoy without what is secret in it: keys, tokens, passwords, contents of secrets.

Envoy itself hides private keys in its dump. Everything that can be secret is hidden here again: an Envoy may
be of another version, and its bootstrap may hold the token of the proxy.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

REDACTED = "[redacted]"
REDACTED_BYTES = base64.b64encode(REDACTED.encode()).decode()

_SECRET_TYPES = ("SecretsConfigDump", ".tls.v3.Secret")
"""Messages of which no inline data is shown at all, by the end of their type URL."""
_SECRET_FIELDS = frozenset(
    {
        "privatekey",
        "privatekeyprovider",
        "sessionticketkeys",
        "genericsecret",
        "password",
        "pkcs12",
        "accesstoken",
        "googlerefreshtoken",
        "authorizationtoken",
        "serviceaccountjwtaccess",
        "clientsecret",
        "hmacsecret",
    }
)
"""Names of fields without underscores, in lower case: Envoy writes them in one form, others in the other."""
_SECRET_HEADERS = frozenset({"authorization", "proxy-authorization", "cookie", "x-api-key"})
_INLINE_BYTES, _INLINE_STRING = "inlinebytes", "inlinestring"
_PLACES = frozenset({"filename", "environmentvariable", "watcheddirectory", "path", "name", "sdsconfig"})
"""Where a secret is to be had is none."""

_TOKEN = re.compile(r"eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{16,}")
_PRIVATE_KEY = re.compile(
    r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----.*?(-----END [A-Z0-9 ]*PRIVATE KEY-----|\Z)", re.DOTALL
)
_MIN_CREDENTIAL_CHARS = 8
"""A shorter one could be part of many words."""


def redacted_dump(body: bytes) -> bytes:
    """The JSON text of a config dump without secrets; raises ValueError when it is not a JSON object."""
    try:
        dump = json.loads(body)
        if not isinstance(dump, dict):
            raise ValueError("not an object")
        return json.dumps(redacted(dump), indent=1, ensure_ascii=False).encode(errors="replace")
    except RecursionError:
        raise ValueError("nested too deeply") from None


def redacted(document: Any, *, secret: bool = False) -> Any:
    """The JSON value without secrets. A credential that stands in it is hidden wherever it stands again.
    `secret` tells that the whole is a secret, of which no inline data is shown."""
    credentials = frozenset(_credentials(document))
    return _Redaction(credentials).of(document, in_secret=secret)


class _Redaction:
    def __init__(self, credentials: frozenset[str]) -> None:
        self._credentials = tuple(sorted(credentials, key=len, reverse=True))

    def of(self, value: Any, *, in_secret: bool = False) -> Any:
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, list):
            return [self.of(item, in_secret=in_secret) for item in value]
        if isinstance(value, Mapping):
            return self._object(value, in_secret or _is_secret(value))
        return value

    def _object(self, value: Mapping[str, Any], in_secret: bool) -> dict[str, Any]:
        hides_value = _is_credential(value)
        found = {}
        for key, item in value.items():
            field = _field(key)
            if field in _SECRET_FIELDS:
                found[key] = _hidden(item)
            elif hides_value and field in ("value", "rawvalue"):
                found[key] = REDACTED if field == "value" else REDACTED_BYTES
            elif field == _INLINE_BYTES and (in_secret or _holds_key(item)):
                found[key] = REDACTED_BYTES
            elif field == _INLINE_STRING and in_secret:
                found[key] = REDACTED
            else:
                found[key] = self.of(item, in_secret=in_secret)
        return found

    def _text(self, text: str) -> str:
        for credential in self._credentials:
            text = text.replace(credential, REDACTED)
        if "eyJ" in text:
            text = _TOKEN.sub(REDACTED, text)
        if "PRIVATE KEY" in text:
            text = _PRIVATE_KEY.sub(REDACTED, text)
        return text


def _hidden(value: Any) -> Any:
    """A secret in the shape that it has: only places, such as the name of a file, stay."""
    if isinstance(value, Mapping):
        return {
            key: item if _field(key) in _PLACES else _hidden_as(_field(key), item)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [_hidden(item) for item in value]
    return REDACTED


def _hidden_as(field: str, value: Any) -> Any:
    return REDACTED_BYTES if field == _INLINE_BYTES else _hidden(value)


def _credentials(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        if _is_credential(value):
            text = value.get("value")
            if isinstance(text, str) and len(text) >= _MIN_CREDENTIAL_CHARS:
                yield text
        for item in value.values():
            yield from _credentials(item)
    elif isinstance(value, list):
        for item in value:
            yield from _credentials(item)


def _is_credential(value: Mapping[str, Any]) -> bool:
    """Whether it is a header, or an entry of gRPC metadata, that proves who somebody is."""
    key = value.get("key")
    return isinstance(key, str) and key.lower() in _SECRET_HEADERS


def _is_secret(value: Mapping[str, Any]) -> bool:
    type_ = value.get("@type")
    return isinstance(type_, str) and type_.endswith(_SECRET_TYPES)


def _holds_key(value: Any) -> bool:
    """Whether bytes in base64 are a private key in PEM."""
    if not isinstance(value, str):
        return False
    try:
        return b"PRIVATE KEY-----" in base64.b64decode(value)
    except (binascii.Error, ValueError):
        return False


def _field(key: str) -> str:
    return key.replace("_", "").lower()
