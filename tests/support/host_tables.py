"""The tables of a host of `redirected_network`, and stand-ins for the programs that change them."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from redirected_network import Host

BACKENDS = ("iptables-nft", "iptables-legacy", "nft")
TOOLS = ("iptables-nft", "iptables-legacy", "ip6tables-nft", "ip6tables-legacy")
ALL = "--redirect-all-dns-traffic"
INSTALL = ("install", "transparent-proxy")
UNINSTALL = ("uninstall", "transparent-proxy")
NO_USER = "--config={cniMode: true}"
KUMACTL = (sys.executable, "-m", "kumactl")
"""For what needs a process of its own; `Host.kumactl` is quicker."""

OTHERS = """*raw
-A PREROUTING -p udp -m udp --sport 99 -j CT --notrack
-A OUTPUT -p udp -m udp --dport 99 -j CT --notrack
COMMIT
*mangle
-A PREROUTING -p tcp -m tcp --dport 99 -j MARK --set-xmark 0x7/0xffffffff
COMMIT
*nat
:OTHER - [0:0]
-A PREROUTING -p tcp -m tcp --dport 99 -j OTHER
-A OUTPUT -p tcp -m tcp --dport 99 -m comment --comment "not ours, despite -j KUMA_MESH_X" -j OTHER
-A OUTPUT -p tcp -m tcp --dport 98 -j OTHER
-A OTHER -p tcp -m tcp --dport 99 -j REDIRECT --to-ports 9
COMMIT
"""


def add_others(host: Host) -> None:
    """Rules of somebody else."""
    for command in ("iptables", "ip6tables"):
        for kind in ("nft", "legacy"):
            host.run(f"{command}-{kind}-restore", "--noflush", stdin=OTHERS)


def tables(host: Host) -> str:
    """All that is in them, without the times and what was counted."""
    saves = [f"{command}-{kind}-save" for command in ("iptables", "ip6tables") for kind in ("nft", "legacy")]
    texts = [_in_order(host.run(save).stdout) for save in saves]
    # iptables-nft-save knows only its own tables.
    ruleset = re.sub(r"packets \d+ bytes \d+ ?", "", host.run("nft", "list", "ruleset").stdout)
    return "".join(texts) + "".join(
        _chains_in_order(part) for part in re.split(r"^(?=table )", ruleset, flags=re.M)
    )


def _chains_in_order(table: str) -> str:
    """They are listed in the order in which they were made."""
    head, *chains = re.split(r"^\tchain ", table.removesuffix("}\n"), flags=re.M)
    return head + "".join(f"\tchain {chain.rstrip()}\n" for chain in sorted(chains))


def _in_order(saved: str) -> str:
    """The kernel lists tables in the order of their last use."""
    lines = "".join(f"{line}\n" for line in saved.splitlines() if not line.startswith("#"))
    parts = re.findall(r"\*.*?^COMMIT\n", lines, re.DOTALL | re.MULTILINE)
    return re.sub(r"\[\d+:\d+\]", "", "".join(sorted(parts)))


def ours(host: Host) -> int:
    return len(re.findall("(?i)kuma_mesh", tables(host)))


def sidecar_address(host: Host) -> bool:
    return "::6/128" in host.run("ip", "-6", "addr", "show", "dev", "lo").stdout


def by_hand(host: Host, printed: str) -> None:
    """Do what a dry run printed."""
    parts = re.split(r"^# (.*)\n", printed, flags=re.MULTILINE)[1:]
    for command, text in zip(parts[::2], parts[1::2], strict=True):
        host.run(*command.split(), stdin=text)


def fake(folder: Path, name: str, script: str) -> str:
    """A program that stands for another one; $REAL is that."""
    path = folder / name
    path.write_text(f"#!/bin/sh\nREAL={name}\n{script}\n")
    path.chmod(0o755)
    return str(path)
