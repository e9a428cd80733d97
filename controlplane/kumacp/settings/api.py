"""What the REST API is told (contract 9.1, 7.5)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kumamesh.settings import option


@dataclass(frozen=True)
class ApiSettings:
    """`apiServer` of the file."""

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
    api_https_require_client_cert: bool = option(
        False,
        env="KUMA_API_SERVER_HTTPS_REQUIRE_CLIENT_CERT",
        key="apiServer.https.requireClientCert",
        help="Refuse HTTPS connections without a trusted client certificate",
    )
    api_client_certs_dir: Path | None = option(
        None,
        env="KUMA_API_SERVER_AUTH_CLIENT_CERTS_DIR",
        key="apiServer.auth.clientCertsDir",
        help="Folder of PEM certificates: who shows one of them, or one that they signed, is admin",
    )
    api_read_only: bool = option(
        False,
        env="KUMA_API_SERVER_READ_ONLY",
        key="apiServer.readOnly",
        help="Refuse to change resources over REST",
    )
    api_base_path: str = option(
        "/",
        env="KUMA_API_SERVER_BASE_PATH",
        key="apiServer.basePath",
        help="What all paths of the REST API are below",
    )
    api_cors_allowed_domains: tuple[str, ...] = option(
        (".*",),
        env="KUMA_API_SERVER_CORS_ALLOWED_DOMAINS",
        key="apiServer.corsAllowedDomains",
        help="Regular expressions for the origins, or their hosts, whose pages may read answers",
    )
    api_authn_type: str = option(
        "tokens",
        env="KUMA_API_SERVER_AUTHN_TYPE",
        key="apiServer.authn.type",
        choices=("tokens", "adminClientCerts"),
        help="How people prove who they are besides client certificates",
    )
    user_token_issuer: bool = option(
        True,
        env="KUMA_API_SERVER_AUTHN_TOKENS_ENABLE_ISSUER",
        key="apiServer.authn.tokens.enableIssuer",
        help="Serve POST /tokens/user",
    )
    user_token_validator_use_secrets: bool = option(
        True,
        env="KUMA_API_SERVER_AUTHN_TOKENS_VALIDATOR_USE_SECRETS",
        key="apiServer.authn.tokens.validator.useSecrets",
        help="Accept user tokens signed by the signing keys in GlobalSecrets",
    )
    user_token_public_keys: tuple[str, ...] = option(
        (),
        env="KUMADP_USER_TOKEN_VALIDATOR_PUBLIC_KEYS",
        key="apiServer.authn.tokens.validator.publicKeyFiles",
        help="Public keys for user tokens signed offline, each as KID=/path/to/key.pem",
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
