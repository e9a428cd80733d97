"""`kumactl generate`: tokens, by the control plane or offline, and the keys for the latter (contract 7.4)."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from kumactl.commands import generate_certificate
from kumactl.output import on_terminal
from kumactl.session import Duration, Group, Session, warn, with_session
from kumactl.urls import path_of
from kumamesh.durations import format_duration
from kumamesh.errors import UserError
from kumamesh.tokens import (
    DEFAULT_VALIDITY_S,
    PROXY_SCOPES,
    SCOPES,
    Claims,
    DataplaneClaims,
    SigningKey,
    UserClaims,
    ZoneClaims,
    generate_signing_key,
    issue,
    public_pem,
)

MAX_VALIDITY_S = 100 * 365 * 86_400.0

F = TypeVar("F", bound=Callable[..., Any])


def _token_options(*, endless: bool = True) -> Callable[[F], F]:
    """Flags of every token: how long it holds, and the key to sign it offline. `endless` says whether the
    first may be left out."""
    default = " (default 10 years)" if endless else ""

    def add(function: F) -> F:
        for option in (
            click.option("--kid", help="Id of that key, under which the control plane knows its public half"),
            click.option(
                "--signing-key-path", type=click.Path(path_type=Path), help="Sign offline with this PEM key"
            ),
            click.option(
                "--valid-for",
                type=Duration(),
                required=not endless,
                help=f"How long the token holds{default}",
            ),
        ):
            function = option(function)
        return function

    return add


@click.group(name="generate", cls=Group)
def command() -> None:
    """Generate tokens, keys and certificates."""


command.add_command(generate_certificate.command)


@command.command(name="dataplane-token", short_help="Generate a token of a data plane proxy")
@click.option("--name", default="", help="Name of the only Dataplane that may use the token")
@click.option("--proxy-type", "--type", "proxy_type", default="", help="Type of the proxy: dataplane")
@click.option("--tag", "tags", multiple=True, help="key=value[,value...] the Dataplane must have")
@click.option("--workload", default="", help="Value of the label kuma.io/workload it must have")
@_token_options()
@with_session
def dataplane_token(
    session: Session, /, name: str, proxy_type: str, tags: tuple[str, ...], workload: str, **signing: Any
) -> None:
    """Generate a token with which a data plane proxy proves who it is."""
    claims = DataplaneClaims(name, session.mesh, _tags(tags), proxy_type, workload)
    request = {
        "name": claims.name,
        "mesh": claims.mesh,
        "tags": {tag: list(values) for tag, values in claims.tags.items()},
        "type": claims.type,
        "workload": claims.workload,
    }
    _generate(session, "dataplane", claims, request, **signing)


@command.command(name="zone-token", short_help="Generate a token of a zone ingress, egress or control plane")
@click.option("--zone", required=True, help="Name of the zone")
@click.option(
    "--scope", "scopes", multiple=True, help="ingress, egress (default: these two), or cp; may be repeated"
)
@_token_options()
@with_session
def zone_token(session: Session, /, zone: str, scopes: tuple[str, ...], **signing: Any) -> None:
    """Generate a token with which a zone ingress or egress, or the control plane of a zone, proves what it
    is."""
    scope = tuple(part.strip() for item in scopes for part in item.split(",")) or PROXY_SCOPES
    wrong = [part for part in scope if part not in SCOPES]
    if wrong:
        raise UserError(f'unknown scope "{wrong[0]}"; use {", ".join(SCOPES)}')
    claims = ZoneClaims(zone, scope)
    _generate(session, "zone", claims, {"zone": zone, "scope": list(scope)}, **signing)


@command.command(name="user-token", short_help="Generate a token of a user of the REST API")
@click.option("--name", required=True, help="Name of the user")
@click.option(
    "--group", "groups", multiple=True, help="Group of the user; may be repeated, or hold several with commas"
)
@_token_options(endless=False)
@with_session
def user_token(session: Session, /, name: str, groups: tuple[str, ...], **signing: Any) -> None:
    """Generate a token for a user of the REST API."""
    parts = tuple(part.strip() for text in groups for part in text.split(","))
    _generate(session, "user", UserClaims(name, parts), {"name": name, "groups": list(parts)}, **signing)


@command.command(name="signing-key")
@click.option(
    "--format",
    "format_",
    type=click.Choice(("pem-base64", "pem")),
    default="pem-base64",
    help="pem, or ready for the data of a Secret",
)
def signing_key(format_: str) -> None:
    """Generate a private key for tokens."""
    pem = generate_signing_key()
    _print(pem.decode() if format_ == "pem" else base64.b64encode(pem).decode())


@command.command(name="public-key")
@click.option(
    "--signing-key-path", required=True, type=click.Path(path_type=Path), help="PEM file of the private key"
)
def public_key(signing_key_path: Path) -> None:
    """Print the public half of a signing key."""
    try:
        _print(public_pem(_read(signing_key_path)).decode())
    except ValueError as error:
        raise UserError(f"{signing_key_path} is not a signing key: {error}") from None


def _generate(
    session: Session,
    kind: str,
    claims: Claims,
    request: dict[str, Any],
    *,
    valid_for: float | None,
    kid: str | None,
    signing_key_path: Path | None,
) -> None:
    if (kid is None) != (signing_key_path is None):
        raise UserError("--kid and --signing-key-path go together; give both to sign offline")
    if valid_for is not None and not 0 < valid_for <= MAX_VALIDITY_S:
        raise UserError("--valid-for must be positive, and at most 100 years")
    if valid_for is None:
        warn("--valid-for is not given: the token holds for 10 years")
        valid_for = DEFAULT_VALIDITY_S
    if kid is not None and signing_key_path is not None:
        _print(_sign(claims, SigningKey(kid, _read(signing_key_path)), valid_for, signing_key_path))
    else:
        document = {**request, "validFor": format_duration(valid_for)}
        _print(session.client.post_for_token(path_of("tokens", kind), document))


def _sign(claims: Claims, key: SigningKey, valid_for_s: float, path: Path) -> str:
    try:
        return issue(claims, key, now=time.time(), valid_for_s=valid_for_s)
    except ValueError as error:
        raise UserError(f"{path}: {error}") from None


def _tags(texts: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    tags = {}
    for text in texts:
        key, equals, values = text.partition("=")
        if not (key and equals and values):
            raise UserError(f"the tag {text!r} must have the form key=value[,value...]")
        tags[key] = tuple(value.strip() for value in values.split(","))
    return tags


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None


def _print(text: str) -> None:
    """The bare text into files and pipes; a line of its own on a terminal."""
    click.echo(text, nl=on_terminal())
