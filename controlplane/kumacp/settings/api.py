"""What the REST API is told (contract 9.1, 7.5)."""

from __future__ import annotations

from dataclasses import dataclass

from kumamesh.settings import option


@dataclass(frozen=True)
class ApiSettings:
    """`apiServer` and `access` of the file."""

    api_http_enabled: bool = option(
        True,
        env="KUMA_API_SERVER_HTTP_ENABLED",
        key="apiServer.http.enabled",
        help="Serve REST over HTTP",
    )
    api_http_interface: str = option(
        "0.0.0.0",
        env="KUMA_API_SERVER_HTTP_INTERFACE",
        key="apiServer.http.interface",
        help="Address the REST API listens on",
    )
    api_http_port: int = option(
        5681,
        env="KUMA_API_SERVER_HTTP_PORT",
        key="apiServer.http.port",
        help="REST over HTTP",
    )
    api_https_enabled: bool = option(
        True,
        env="KUMA_API_SERVER_HTTPS_ENABLED",
        key="apiServer.https.enabled",
        help="Serve REST over HTTPS",
    )
    api_https_interface: str = option(
        "0.0.0.0",
        env="KUMA_API_SERVER_HTTPS_INTERFACE",
        key="apiServer.https.interface",
        help="Address the REST API listens on with TLS",
    )
    api_https_port: int = option(
        5682,
        env="KUMA_API_SERVER_HTTPS_PORT",
        key="apiServer.https.port",
        help="REST over HTTPS",
    )
    api_localhost_is_admin: bool = option(
        True,
        env="KUMA_API_SERVER_AUTHN_LOCALHOST_IS_ADMIN",
        key="apiServer.authn.localhostIsAdmin",
        help="Requests from the same host need no token",
    )
    api_bootstrap_admin_token: bool = option(
        True,
        env="KUMA_API_SERVER_AUTHN_TOKENS_BOOTSTRAP_ADMIN_TOKEN",
        key="apiServer.authn.tokens.bootstrapAdminToken",
        help="Make the secret admin-user-token at first start",
    )
