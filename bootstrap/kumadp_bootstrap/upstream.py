"""The control plane that a bootstrap names: where it is and how it is to be trusted."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Literal

from kumadp_bootstrap import protojson
from kumadp_bootstrap.protojson import Message
from kumamesh.errors import UserError

MatchForm = Literal["exact", "prefix", "suffix", "contains", "safe_regex"]

_MATCH_FORMS: tuple[MatchForm, ...] = ("exact", "prefix", "suffix", "contains", "safe_regex")
_TARGET_SCHEMES = ("dns:", "ipv4:", "ipv6:")


@dataclass(frozen=True, slots=True)
class SanMatcher:
    """One pattern for the names in the server's certificate; `kind` is DNS, IP_ADDRESS, URI or EMAIL, or ""
    for any. The value of `safe_regex` is an RE2 expression for the whole name."""

    kind: str
    form: MatchForm
    value: str
    ignore_case: bool = False


@dataclass(frozen=True, slots=True)
class Upstream:
    """What to dial. Without `ca_pem` and `ca_path` the system's CAs are trusted; any of `sans` suffices, and
    without one the host name must match as usual. `authority` is "" when the dialer may choose."""

    host: str
    port: int
    sni: str = ""
    ca_pem: str = ""
    ca_path: str = ""
    authority: str = ""
    sans: tuple[SanMatcher, ...] = ()
    tls: bool = True


def from_google_grpc(service: Message) -> Upstream:
    target = protojson.text(service, "target_uri").rpartition("/")[2]
    for scheme in _TARGET_SCHEMES:
        target = target.removeprefix(scheme)
    host, _, port = target.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isascii() or not port.isdecimal():
        raise UserError(f"the bootstrap's target_uri {target!r} is not host:port")
    credentials = protojson.message(protojson.message(service, "channel_credentials"), "ssl_credentials")
    ca_pem, ca_path = _data_source(protojson.message(credentials, "root_certs"))
    tls = protojson.get(service, "channel_credentials") is not None
    return Upstream(host, int(port), sni=host, ca_pem=ca_pem, ca_path=ca_path, tls=tls)


def from_cluster(cluster: Message, secrets: dict[str, Message], authority: str) -> Upstream:
    """`secrets` are the bootstrap's own, by name."""
    host, port = _endpoint(cluster)
    socket = protojson.get(cluster, "transport_socket")
    if socket is None:
        return Upstream(host, port, authority=authority, tls=False)
    tls = protojson.message(protojson.message(cluster, "transport_socket"), "typed_config")
    validation = _validation(protojson.message(tls, "common_tls_context"), secrets)
    ca_pem, ca_path = _data_source(protojson.message(validation, "trusted_ca"))
    return Upstream(
        host,
        port,
        sni=protojson.text(tls, "sni"),
        ca_pem=ca_pem,
        ca_path=ca_path,
        authority=authority,
        sans=tuple(_san_matchers(validation)),
    )


def _endpoint(cluster: Message) -> tuple[str, int]:
    for locality in protojson.messages(protojson.message(cluster, "load_assignment"), "endpoints"):
        for lb_endpoint in protojson.messages(locality, "lb_endpoints"):
            address = protojson.message(protojson.message(lb_endpoint, "endpoint"), "address")
            if protojson.get(address, "socket_address") is not None:
                return socket_address(address)
    raise UserError(
        f"the bootstrap's cluster {protojson.text(cluster, 'name')} has no address of a control plane"
    )


def socket_address(address: Message) -> tuple[str, int]:
    """(host, port) of an address with a socket_address; raises UserError."""
    socket = protojson.message(address, "socket_address")
    host, port = protojson.text(socket, "address"), protojson.get(socket, "port_value")
    if isinstance(port, str) and port.isascii() and port.isdecimal():
        port = int(port)
    if not host or not isinstance(port, int) or not 0 < port < 65_536:
        raise UserError("the bootstrap has a socket_address without a usable address and port")
    return host, port


def _validation(context: Message, secrets: dict[str, Message]) -> Message:
    combined = protojson.message(context, "combined_validation_context")
    by_name = protojson.message(context, "validation_context_sds_secret_config") or protojson.message(
        combined, "validation_context_sds_secret_config"
    )
    inline = protojson.message(context, "validation_context") or protojson.message(
        combined, "default_validation_context"
    )
    if not by_name:
        return inline
    secret = secrets.get(protojson.text(by_name, "name"))
    if secret is None:
        raise UserError("the bootstrap trusts the control plane by a secret that it does not contain")
    return {**inline, **protojson.message(secret, "validation_context")}


def _data_source(source: Message) -> tuple[str, str]:
    """(text, path) of a DataSource, one of them empty; both when there is no source."""
    inline, encoded = protojson.text(source, "inline_string"), protojson.text(source, "inline_bytes")
    path = protojson.text(source, "filename")
    if encoded:
        try:
            inline = base64.b64decode(encoded, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError) as error:
            raise UserError("the bootstrap's CA is not PEM text in base64") from error
    if source and not inline and not path:
        raise UserError("the bootstrap's CA is neither inline nor a file")
    return inline, path


def _san_matchers(validation: Message) -> list[SanMatcher]:
    typed = protojson.messages(validation, "match_typed_subject_alt_names")
    matchers = [
        _san_matcher(protojson.text(entry, "san_type"), protojson.message(entry, "matcher"))
        for entry in typed
    ]
    untyped = protojson.messages(validation, "match_subject_alt_names")
    return matchers + [_san_matcher("", matcher) for matcher in untyped]


def _san_matcher(kind: str, matcher: Message) -> SanMatcher:
    ignore_case = protojson.get(matcher, "ignore_case") is True
    for form in _MATCH_FORMS:
        if protojson.get(matcher, form) is None:
            continue
        if form == "safe_regex":
            return SanMatcher(kind, form, protojson.text(protojson.message(matcher, form), "regex"))
        return SanMatcher(kind, form, protojson.text(matcher, form), ignore_case)
    raise UserError("the bootstrap restricts the control plane's certificate in a way that is not supported")
