"""`kuma-dp dns`."""

from __future__ import annotations

from ipaddress import ip_address

import click

from kumadp.settings import DNS_PORT
from kumadp_dns.answers.explain import Explained
from kumamesh import commands
from kumamesh.errors import EXIT_FAILURE

LOOPBACK = "127.0.0.1"
PORT_VARIABLE = "KUMA_DNS_PROXY_PORT"


@click.group(name="dns", cls=commands.Group)
def dns() -> None:
    """Ask the name server of a running proxy."""


@dns.command(name="lookup", cls=commands.Command)
@click.argument("name")
@click.option("--type", "qtype", default="", help="Type of record (default A; PTR when NAME is an address).")
@click.option(
    "--address", default=LOOPBACK, metavar="IP", callback=lambda *given: _address(given[-1]),
    help=f"Where the name server listens (default {LOOPBACK}).",
)  # fmt: skip
@click.option(
    "--port", metavar="NUMBER", default="", envvar=PORT_VARIABLE, callback=lambda *given: _port(given[-1]),
    help=f"Its port (default {DNS_PORT}) [{PORT_VARIABLE}]",
)  # fmt: skip
def lookup(name: str, qtype: str, address: str, port: int) -> int:
    """Look up NAME as a program of this host would, and tell where the answer comes from.

    The exit code is 0 if there is such a record, 1 if there is none or nobody answers.
    """
    from kumadp import dns_client

    name, qtype = _question(name, qtype)
    found = dns_client.lookup(name, qtype, address, port)
    for record in found.answer.records:
        click.echo(record)
    origin = found.answer.origin or "its origin is not told"
    transport = "TCP" if found.tcp else "UDP"
    took = f"asked over {transport}, {found.seconds * 1000:.1f} ms"
    if found.answer.records:
        click.echo(f"from: {origin} ({took})")
        return 0
    click.echo(f"Error: {name} {_nothing(found.answer, qtype)}: {origin} ({took})", err=True)
    return EXIT_FAILURE


def _nothing(answer: Explained, qtype: str) -> str:
    match answer.rcode:
        case "NOERROR":
            return f"has no {qtype} record"
        case "NXDOMAIN":
            return "is not a name of the mesh" if answer.authoritative else "does not exist (NXDOMAIN)"
    return f"is answered with {answer.rcode}"


def _question(name: str, qtype: str) -> tuple[str, str]:
    """An address without a type is looked up for its name."""
    try:
        reverse = ip_address(name).reverse_pointer
    except ValueError:
        if "/" in name or ":" in name:
            raise click.UsageError(
                f"{name!r} is more than a name; give it without scheme, port and path"
            ) from None
        return name, (qtype or "A").upper()
    return (reverse, "PTR") if qtype.upper() in ("", "PTR") else (name, qtype.upper())


def _port(text: str) -> int:
    """0 is what asks a Kuma agent for CoreDNS; here the name server has its default port then."""
    if not text.isascii() or not (text or "0").isdigit() or int(text or 0) > 65_535:
        raise click.BadParameter(f"{text!r} is not a port from 1 to 65535 (also read from {PORT_VARIABLE})")
    return int(text or 0) or DNS_PORT


def _address(text: str) -> str:
    try:
        return str(ip_address(text))
    except ValueError:
        raise click.BadParameter(f"{text!r} is not an IP address") from None
