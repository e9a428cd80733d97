"""No secret leaves the control plane in a config dump."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kumacp.envoyadmin.redaction import REDACTED, REDACTED_BYTES, redacted, redacted_dump

KEY = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIDabcdef\n-----END EC PRIVATE KEY-----\n"
TOKEN = "eyJhbGciOiJSUzI1NiJ9.eyJOYW1lIjoid2ViLTEifQ.c2lnbmF0dXJlc2lnbmF0dXJl"
SECRET = "hidden-hidden"
_B64 = base64.b64encode(SECRET.encode()).decode()


def _static_secrets(secret: dict[str, Any]) -> dict[str, Any]:
    type_ = "type.googleapis.com/envoy.admin.v3.SecretsConfigDump"
    return {"configs": [{"@type": type_, "dynamic_active_secrets": [{"name": "x", "secret": secret}]}]}


@pytest.mark.parametrize(
    "document",
    [
        {"tls_certificate": {"private_key": {"inline_string": SECRET}}},
        {"tlsCertificate": {"privateKey": {"inlineBytes": _B64}}},
        {"private_key": {"inline_bytes": _B64, "filename": "/key.pem"}},
        {"private_key_provider": {"provider_name": "x", "typed_config": {"deep": [SECRET]}}},
        {"session_ticket_keys": {"keys": [{"inline_bytes": _B64}]}},
        {"generic_secret": {"secret": {"inline_string": SECRET}}},
        {"password": {"inline_string": SECRET}},
        {"call_credentials": [{"access_token": SECRET}]},
        {"initial_metadata": [{"key": "authorization", "value": SECRET}]},
        {"header": {"key": "Authorization", "raw_value": _B64}},
        {"request_headers_to_add": [{"header": {"key": "x-api-key", "value": SECRET}}]},
        {"node": {"id": f"a {SECRET} b"}, "initial_metadata": [{"key": "authorization", "value": SECRET}]},
        _static_secrets({"validation_context": {"trusted_ca": {"inline_bytes": _B64}}}),
        _static_secrets({"tls_certificate": {"certificate_chain": {"inline_string": SECRET}}}),
    ],
)
def test_secrets_are_hidden_wherever_they_stand(document: dict[str, Any]) -> None:
    shown = json.dumps(redacted(document))
    assert SECRET not in shown
    assert _B64 not in shown
    assert REDACTED in shown or REDACTED_BYTES in shown


@pytest.mark.parametrize("text", [KEY, KEY[:40], f"a{KEY}b", TOKEN, f"Bearer {TOKEN}"])
def test_keys_and_tokens_are_hidden_in_any_text(text: str) -> None:
    shown = json.dumps(redacted({"anything": [{"really": text}]}))
    assert "PRIVATE KEY" not in shown
    assert TOKEN not in shown
    assert REDACTED in shown


def test_a_private_key_in_base64_is_hidden_under_any_name() -> None:
    encoded = base64.b64encode(KEY.encode()).decode()
    assert redacted({"other": {"inline_bytes": encoded}}) == {"other": {"inline_bytes": REDACTED_BYTES}}


def test_a_whole_secret_shows_no_inline_data() -> None:
    secret = {"name": "ca", "validationContext": {"trustedCa": {"inlineBytes": _B64}}}
    shown = {"name": "ca", "validationContext": {"trustedCa": {"inlineBytes": REDACTED_BYTES}}}
    assert redacted(secret, secret=True) == shown
    assert redacted(secret) == secret


def test_what_is_no_secret_stays() -> None:
    document = {
        "name": "kuma:envoy:admin",
        "metadata": {"key": "value", "value": "key", "n": 1, "f": 1.5, "b": True, "none": None},
        "private_key": {"filename": "/etc/key.pem"},
        "routes": [{"match": {"prefix": "/authorization"}}],
        "headers": [{"header": {"key": "x-kuma-tags", "value": "web"}}],
        "certificate_chain": {
            "inline_string": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"
        },
        "body": {"inline_bytes": _B64},
    }
    assert redacted(document) == document


def test_the_dump_is_json_again() -> None:
    dump = {"configs": [{"name": "ä", "private_key": {"inline_string": SECRET}}]}
    shown = json.loads(redacted_dump(json.dumps(dump).encode()))
    assert shown == {"configs": [{"name": "ä", "private_key": {"inline_string": REDACTED}}]}


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"no", b"\xff", b"[" * 100_000, b'{"a":' * 700 + b"1" + b"}" * 700, b"null"]
)
def test_what_is_no_dump_is_an_error(body: bytes) -> None:
    with pytest.raises(ValueError):
        redacted_dump(body)


_texts = st.text(max_size=30)
_documents = st.recursive(
    st.none() | st.booleans() | st.integers() | _texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_texts, inner, max_size=3),
    max_leaves=20,
)


@given(_documents, st.sampled_from(["private_key", "privateKey", "access_token", "password"]))
def test_any_document_is_taken_and_none_shows_what_is_beside_such_a_name(document: Any, name: str) -> None:
    shown = redacted({"around": document, name: {"inline_string": SECRET, "x": [SECRET, document]}})
    assert SECRET not in json.dumps(shown)
    assert redacted(shown) == shown
