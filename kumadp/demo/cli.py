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
from kumadp.demo.zones_story_driver import ZonesStory
from kumamesh.errors import UserError

MAX_ZONES = 4
CONTROL_PLANE = ("kumacp", "aiohttp", "sqlalchemy")


@click.command()
@click.option("--keep", is_flag=True, help="Leave everything running until Ctrl-C and print the addresses.")
@click.option(
    "--zones",
    type=click.IntRange(1, MAX_ZONES),
    default=1,
    help="With 2 or more: a global control plane, zones that reach each other through zone ingresses, and"
    " what goes on when parts of it are killed.",
)
def demo(keep: bool, zones: int) -> None:
    """Start a control plane and two services with real Envoys, and show mTLS between them."""
    if not all(importlib.util.find_spec(name) for name in CONTROL_PLANE):
        raise UserError("the demo needs the control plane; install it with: pip install 'kumadp[cp]'")
    # These are ends in order, too: the programs must not outlive the demo, nor the terminal it runs in.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        with tempfile.TemporaryDirectory(prefix="kuma-demo-") as folder, running() as programs:
            table = Table(sys.stdout, columns=lambda: shutil.get_terminal_size().columns)
            if zones == 1:
                story = Story(Path(folder), programs, table)
                story.play()
                addresses, again = _addresses(story), ""
            else:
                several = ZonesStory(zones, Path(folder), programs, table)
                several.play()
                addresses, again = _addresses_of_zones(several), f" --zones {zones}"
            if keep:
                _keep(addresses)
            else:
                click.echo(f"\nto leave it running and look around: {_typed('kuma-dp')} demo{again} --keep")
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


def _addresses(story: Story) -> str:
    ports, kumactl = story.ports, _typed("kumactl")
    return f"""
REST API        {story.api}
metrics         http://127.0.0.1:{ports.diagnostics}/metrics
web app         {story.web}
backend (mesh)  http://{story.virtual_address}:{ports.virtual}/
its name        {_typed("kuma-dp")} dns lookup {PEER} --port={ports.web_dns}
Envoy of web    http://127.0.0.1:{ports.admin[0]}/
files, logs     {story.folder}

kumactl         {kumactl} config control-planes add --name demo --address {story.api}
                {kumactl} inspect dataplanes
"""


def _addresses_of_zones(story: ZonesStory) -> str:
    client, kumactl = story.ports.client, _typed("kumactl")
    zones = "\n".join(
        f"REST of zone-{number}  http://127.0.0.1:{ports.api}"
        for number, ports in enumerate(story.ports.zones, start=1)
    )
    return f"""
REST of global  {story.api}
{zones}
web app         {story.web}
backend (mesh)  http://{story.virtual_address}:{client.virtual}/
its name        {_typed("kuma-dp")} dns lookup {PEER} --port={client.dns}
Envoy of web    http://127.0.0.1:{client.admin}/
files, logs     {story.folder}

kumactl         {kumactl} config control-planes add --name demo --address {story.api}
                {kumactl} inspect zones
"""


def _keep(addresses: str) -> None:
    click.echo(f"{addresses}\nCtrl-C ends it.")
    try:
        signal.pause()
    except KeyboardInterrupt:
        click.echo("")
