"""The command `kuma-dp demo`."""

from __future__ import annotations

import importlib.util
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from types import FrameType

import click

from kumadp.demo.process import running
from kumadp.demo.story_driver import Story
from kumadp.demo.table import Table
from kumadp.demo.world import PEER
from kumamesh.errors import UserError

CONTROL_PLANE = ("kumacp", "aiohttp", "sqlalchemy")


@click.command()
@click.option("--keep", is_flag=True, help="Leave everything running until Ctrl-C and print the addresses.")
def demo(keep: bool) -> None:
    """Start a control plane and two services with real Envoys, and show mTLS between them."""
    if not all(importlib.util.find_spec(name) for name in CONTROL_PLANE):
        raise UserError("the demo needs the control plane; install it with: pip install 'kumadp[cp]'")
    # These are ends in order, too: the programs must not outlive the demo, nor the terminal it runs in.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        with tempfile.TemporaryDirectory(prefix="kuma-demo-") as folder, running() as programs:
            story = Story(
                Path(folder), programs, Table(sys.stdout, columns=lambda: shutil.get_terminal_size().columns)
            )
            story.play()
            if keep:
                _keep(story)
            else:
                click.echo(f"\nto leave it running and look around: {_typed('kuma-dp')} demo --keep")
    finally:
        click.echo("everything is stopped and removed")


def _interrupt(_: int, __: FrameType | None) -> None:
    raise KeyboardInterrupt


def _typed(program: str) -> str:
    """How it is called from here: by its name alone only where the shell finds it."""
    beside = Path(sys.executable).with_name(program)
    if shutil.which(program) or not beside.exists():
        return program
    return str(beside.relative_to(Path.cwd())) if beside.is_relative_to(Path.cwd()) else str(beside)


def _keep(story: Story) -> None:
    ports, kumactl = story.ports, _typed("kumactl")
    click.echo(f"""
REST API        {story.api}
metrics         http://127.0.0.1:{ports.diagnostics}/metrics
web app         {story.web}
backend (mesh)  http://{story.virtual_address}:{ports.virtual}/
its name        {_typed("kuma-dp")} dns lookup {PEER} --port={ports.web_dns}
Envoy of web    http://127.0.0.1:{ports.admin[0]}/
files, logs     {story.folder}

kumactl         {kumactl} config control-planes add --name demo --address {story.api}
                {kumactl} inspect dataplanes

Ctrl-C ends it.""")
    try:
        signal.pause()
    except KeyboardInterrupt:
        click.echo("")
