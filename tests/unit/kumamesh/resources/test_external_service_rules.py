"""Kuma's rules of ExternalService, and its shapes (kuma-cp 2.6)."""

from __future__ import annotations

from typing import Any

import pytest

from kumamesh.resource import ResourceKey
from kumamesh.resources.external_service import split_address
from kumamesh.resources.rest import from_rest, to_kubernetes, to_rest
from resource_documents import Wrong, document, violations

PORT = "port must be in the range [1, 65535]"
HOST = "address has to be a valid IP address or a domain name"
ADDRESS = "networking.address"


def external(
    address: str = "httpbin.example:80", tls: dict[str, Any] | None = None, **tags: str
) -> dict[str, Any]:
    """A valid ExternalService; `tags` have kuma.io/ put before their names."""
    networking: dict[str, Any] = {"address": address}
    if tls is not None:
        networking["tls"] = {"enabled": True, **tls}
    given = {"service": "httpbin", **tags}
    return document(
        "ExternalService",
        networking=networking,
        tags={f"kuma.io/{tag}": value for tag, value in given.items()},
    )


@pytest.mark.parametrize(
    "body",
    [
        external(),
        external("192.168.0.1:65535"),
        external("[::1]:80"),
        external("localhost:1", protocol="grpc", zone="east"),
        external(tls={"caCert": {"secret": "ca"}, "clientCert": {"inlineString": "x"}}),
        external(tls={"clientKey": {"inline": "aGk="}, "serverName": "other.example"}),
        external(tls={"allowRenegotiation": True, "skipHostnameVerification": False}),
    ],
)
def test_valid_external_services_pass(body: dict[str, Any]) -> None:
    assert from_rest(body).spec.service == "httpbin"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (
            document("ExternalService", tags={"kuma.io/service": "a"}),
            [("networking", "should have networking")],
        ),
        (external(""), [(ADDRESS, "address can't be empty")]),
        (
            external("httpbin"),
            [
                (ADDRESS, "unable to parse address"),
                (ADDRESS, HOST),
                (ADDRESS, "unable to parse port in address"),
                (ADDRESS, PORT),
            ],
        ),
        (external("..:80"), [(ADDRESS, HOST)]),
        (external(":80"), [(ADDRESS, HOST)]),
        (external("a:http"), [(ADDRESS, "unable to parse port in address"), (ADDRESS, PORT)]),
        (external("a:"), [(ADDRESS, "unable to parse port in address"), (ADDRESS, PORT)]),
        (external("a:٣"), [(ADDRESS, "unable to parse port in address"), (ADDRESS, PORT)]),
        (external("a:4294967296"), [(ADDRESS, "unable to parse port in address"), (ADDRESS, PORT)]),
        (external("a:0"), [(ADDRESS, PORT)]),
        (external("a:65536"), [(ADDRESS, PORT)]),
        (
            document("ExternalService", networking={"address": "a:80"}),
            [("tags", 'mandatory tag "kuma.io/service" is missing')],
        ),
        (
            external(protocol="smtp"),
            [
                (
                    'tags["kuma.io/protocol"]',
                    'tag "kuma.io/protocol" has an invalid value "smtp". '
                    "Allowed values: grpc, http, http2, kafka, tcp, tls",
                )
            ],
        ),
        (
            external("httpbin:80"),
            [('tags["kuma.io/service"]', "cannot be the same as networking.address")],
        ),
        (external(tls={"serverName": ""}), [("networking.tls.serverName", "cannot be empty")]),
        (external(tls={"caCert": {}}), [("networking.tls.caCert", "data source cannot be empty")]),
        (
            external(tls={"clientCert": {"secret": ""}, "clientKey": {"inline": ""}}),
            [
                ("networking.tls.clientCert", "data source cannot be empty"),
                ("networking.tls.clientKey", "data source cannot be empty"),
            ],
        ),
        (
            external(tls={"clientKey": {"secret": "a", "inlineString": "b"}}),
            [("networking.tls.clientKey", "must have only one of secret, inline and inlineString")],
        ),
        (
            external(tls={"caCert": {"file": "/etc/shadow"}}),
            [
                (
                    "networking.tls.caCert.file",
                    "files on the host of the control plane are not read; put the content into a Secret of"
                    " the mesh and name it with secret",
                )
            ],
        ),
        (
            external(tls={"ca": {"secret": "a"}}),
            [("networking.tls.ca", 'unknown field; did you mean "caCert"?')],
        ),
    ],
)
def test_every_broken_rule_is_told(body: dict[str, Any], expected: Wrong) -> None:
    assert violations(body) == expected


def test_a_key_in_the_document_is_in_no_text_of_an_error() -> None:
    body = external(
        tls={"clientKey": {"inlineString": "s3cret", "secret": "a"}, "caCert": {"inline": "s3cret!"}}
    )
    assert "s3cret" not in repr(violations(body))


@pytest.mark.parametrize(
    ("address", "parts"),
    [
        ("a.b:80", ("a.b", "80")),
        ("[::1]:80", ("::1", "80")),
        (":", ("", "")),
        ("1.2.3.4:x", ("1.2.3.4", "x")),
    ],
)
def test_an_address_is_split_as_go_splits_it(address: str, parts: tuple[str, str]) -> None:
    assert split_address(address) == parts


@pytest.mark.parametrize("address", ["a", "a:1:2", "::1:80", "[::1]", "[::1]80", "[a]b:1", "a]:1"])
def test_what_is_no_address_is_not_split(address: str) -> None:
    with pytest.raises(ValueError, match="host:port"):
        split_address(address)


def test_only_tls_that_is_enabled_has_sources() -> None:
    tls = {"caCert": {"secret": "ca"}, "clientKey": {"inlineString": "key"}}
    assert set(from_rest(external(tls=tls)).spec.sources()) == {"caCert", "clientKey"}
    assert from_rest(external(tls={**tls, "enabled": False})).spec.sources() == {}


def test_the_document_is_flat_and_has_a_shape_of_kubernetes() -> None:
    body = external(tls={"caCert": {"secret": "ca"}, "serverName": "other.example"}, protocol="http")
    body["networking"]["disableHostDNSEntry"] = True
    resource = from_rest(body)
    assert resource.key == ResourceKey("ExternalService", "default", "a")
    assert to_rest(resource) == {
        **body,
        "creationTime": "0001-01-01T00:00:00Z",
        "modificationTime": "0001-01-01T00:00:00Z",
    }
    kubernetes = to_kubernetes(resource)
    assert kubernetes == {
        "apiVersion": "kuma.io/v1alpha1",
        "kind": "ExternalService",
        "mesh": "default",
        "metadata": {"name": "a"},
        "spec": {"networking": body["networking"], "tags": body["tags"]},
    }
    assert from_rest(kubernetes) == resource
