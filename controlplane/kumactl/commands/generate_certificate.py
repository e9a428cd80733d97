"""`kumactl generate tls-certificate`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click

from kumactl.certificates import CLIENT, ECDSA, RSA, SERVER, self_signed
from kumactl.private_files_disk import replace_files
from kumactl.session import Command
from kumamesh.errors import UserError

STDOUT = "-"


@click.command(name="tls-certificate", cls=Command, short_help="Generate a TLS certificate with its key")
@click.option("--type", "kind", type=click.Choice((CLIENT, SERVER)), required=True, help="Who shows it")
@click.option(
    "--hostname",
    "--cp-hostname",
    "hostnames",
    multiple=True,
    required=True,
    help="Host name or IP address that it is for; may be repeated, or hold several with commas",
)
@click.option(
    "--key-file",
    type=click.Path(allow_dash=True),
    default="key.pem",
    help="File for the private key, - for stdout (default key.pem)",
)
@click.option(
    "--cert-file",
    type=click.Path(allow_dash=True),
    default="cert.pem",
    help="File for the certificate, - for stdout (default cert.pem)",
)
@click.option("--key-type", type=click.Choice((RSA, ECDSA)), default=RSA, help=f"Kind of key (default {RSA})")
def command(kind: str, hostnames: tuple[str, ...], key_file: str, cert_file: str, key_type: str) -> None:
    """Generate a self-signed certificate with its key, for ten years. Files of these names are replaced, both
    or none."""
    names = [name for text in hostnames for part in text.split(",") if (name := part.strip())]
    if not names:
        raise UserError("at least one hostname must be given")
    if key_file != STDOUT and key_file == cert_file:
        raise UserError("--key-file and --cert-file must not be the same file")
    try:
        key, certificate = self_signed(names, kind=kind, key_type=key_type, now=datetime.now(UTC))
    except ValueError as error:
        raise UserError(f"--hostname: {error}") from None
    _save({Path(file): pem for file, pem in ((key_file, key), (cert_file, certificate)) if file != STDOUT})
    for file, pem in ((key_file, key), (cert_file, certificate)):
        if file == STDOUT:
            click.echo(pem.decode(), nl=False)
    if STDOUT not in (key_file, cert_file):
        click.echo(f"Private key saved in {key_file}")
        click.echo(f"Certificate saved in {cert_file}")


def _save(contents: dict[Path, bytes]) -> None:
    try:
        replace_files(contents)
    except OSError as error:
        raise UserError(f"cannot write {error.filename}: {error.strerror}") from None
