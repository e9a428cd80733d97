"""`kumactl install transparent-proxy` and `kumactl uninstall transparent-proxy` (kuma-dp 1.5)."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from kumactl.redirect import driver
from kumactl.redirect.choice import AUTO, BACKENDS
from kumactl.session import warn
from kumactl.source_disk import read_sources
from kumamesh import commands
from kumamesh.errors import UserError
from kumamesh.options import add_flags
from kumamesh.transparent_proxy.config import Config, merged, resolved

_EBPF = "--ebpf-enabled: nothing is ever redirected with eBPF; leave it out"
_EXAMPLE = """\b
For example, with SSH left alone:
  useradd --uid 5678 --user-group kuma-dp
  kumactl install transparent-proxy --redirect-dns --exclude-inbound-ports 22
  runuser -u kuma-dp -- kuma-dp run --transparent-proxy ..."""


@click.group(cls=commands.Group)
def install() -> None:
    """Install what this host needs."""


@click.group(cls=commands.Group)
def uninstall() -> None:
    """Remove what was installed on this host."""


@install.command(
    name="transparent-proxy",
    short_help="Redirect the traffic of this host to its data plane proxy",
    epilog=_EXAMPLE,
)
@add_flags(Config)
@click.option(
    "--backend",
    type=click.Choice((AUTO, *BACKENDS)),
    default=AUTO,
    help="Program that changes the tables; auto is the one with our rules, else the kind of iptables with "
    "rules of others, else what iptables stands for, and nft where there is no iptables (default auto)",
)
@click.option("--config", "inline", default=None, help="Settings as YAML or JSON text; flags win over them")
@click.option(
    "--config-file",
    type=click.Path(allow_dash=True),
    default=None,
    help="File with settings in YAML or JSON, - for stdin; --config is laid over it",
)
@click.option("--kuma-dp-uid", default=None, help="Old name of --kuma-dp-user")
@click.option("--redirect-dns-upstream-target-chain", default=None, hidden=True)
def install_transparent_proxy(
    backend: str,
    inline: str | None,
    config_file: str | None,
    kuma_dp_uid: str | None,
    redirect_dns_upstream_target_chain: str | None,
    **flags: Any,
) -> None:
    """Redirect the connections of this host, those to it, and with --redirect-dns its DNS, to the data plane
    proxy that runs here as a user of its own.

    What is there of ours is replaced; rules of others are left alone. All of it is applied, or nothing is.
    Rules do not outlive a restart of the host: run this again at its start. Settings are, in order of
    precedence: flags, variables, --config, --config-file, defaults."""
    if kuma_dp_uid is not None:
        warn("--kuma-dp-uid is an old name; use --kuma-dp-user")
        flags["user"] = flags.get("user") or kuma_dp_uid
    if redirect_dns_upstream_target_chain is not None:
        warn("--redirect-dns-upstream-target-chain has no effect")
    found = resolved(_document(inline, config_file), flags=flags, environ=os.environ)
    for warning in found.warnings:
        warn(warning)
    config = found.settings
    outcome = driver.install(config, backend=backend, warn=warn)
    if config.dry_run:
        _show(outcome.texts)
        return
    if config.verbose:
        _show(outcome.texts, err=True)
    for name, families in outcome.families.items():
        click.echo(
            f"# The traffic of this host is redirected with {name} for {families}; kuma-dp may now be run "
            "with --transparent-proxy"
        )


@uninstall.command(name="transparent-proxy", short_help="Redirect nothing any more")
@click.option("--dry-run", is_flag=True, help="Print what would be applied, and change nothing")
@click.option("--verbose", is_flag=True, help="Print on stderr what is applied")
@click.option("--ebpf-enabled", is_flag=True, help="Not possible: traffic is redirected with iptables or nft")
@click.option("--ebpf-bpffs-path", default=None, help="Accepted for compatibility")
def uninstall_transparent_proxy(
    dry_run: bool, verbose: bool, ebpf_enabled: bool, ebpf_bpffs_path: str | None
) -> None:
    """Remove the rules of `kumactl install transparent-proxy`, whichever program they were applied with; no
    other rule is touched."""
    if ebpf_enabled:
        raise UserError(_EBPF)
    outcome = driver.uninstall(Config(dry_run=dry_run), warn=warn)
    if dry_run or verbose:
        _show(outcome.texts, err=not dry_run)
    if dry_run:
        return
    for name, families in outcome.families.items():
        click.echo(f"# Nothing is redirected any more with {name} for {families}")
    if not outcome.families:
        click.echo("# Nothing was redirected")


def _document(inline: str | None, config_file: str | None) -> dict[str, Any]:
    if inline == "-" and config_file is None:
        raise UserError("--config takes a text; use --config-file=- for stdin")
    sources = []
    if config_file is not None:
        if config_file != "-" and Path(config_file).is_dir():
            raise UserError(f"--config-file: {config_file} is a directory; name a file")
        sources = [(source.name, source.text) for source in read_sources(config_file, 0)]
    if inline is not None:
        sources.append(("--config", inline))
    return merged(sources)


def _show(texts: Mapping[str, str], *, err: bool = False) -> None:
    """What a shell would need to do the same: each text with the command that reads it."""
    for command, text in texts.items():
        click.echo(f"# {command}\n{text}", err=err, nl=False)
    if err:
        sys.stderr.flush()
