"""Completion in shells, as they do it: with the script that the program prints."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


def _programs(home: Path) -> Path:
    """A folder with the program under its name."""
    folder = home / "bin"
    folder.mkdir()
    program = folder / "kumactl"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m kumactl "$@"\n')
    program.chmod(0o755)
    return folder


COMPLETIONS = [
    (
        ("",),
        {"apply", "completion", "config", "delete", "export", "generate", "get", "inspect", "install"}
        | {"uninstall", "version"},
    ),
    (("install", "transparent-proxy", "--redirect-d"), {"--redirect-dns", "--redirect-dns-port"}),
    (("ge",), {"generate", "get"}),
    (("get", "meshtr"), {"meshtrafficpermission", "meshtrafficpermissions"}),
    (("delete", "zonee"), {"zoneegress", "zoneegresses"}),
    (("inspect", "zone"), {"zones", "zoneingress", "zoneingresses", "zoneegress", "zoneegresses"}),
    (("config", "control-planes", ""), {"add", "list", "remove", "switch"}),
    (("export", "--profile", "no"), {"no-dataplanes"}),
    (("generate", "tls-certificate", "--key-type", ""), {"rsa", "ecdsa"}),
]
_SOURCED = """
source <(kumactl completion bash)
COMP_WORDS=(kumactl {words})
COMP_CWORD={index}
$(complete -p kumactl | sed 's/.*-F \\([^ ]*\\).*/\\1/') kumactl
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.mark.parametrize(("words", "wanted"), COMPLETIONS)
def test_completion_in_bash(tmp_path: Path, words: tuple[str, ...], wanted: set[str]) -> None:
    quoted = " ".join(f"'{word}'" for word in words)
    script = _SOURCED.format(words=quoted, index=len(words))
    environment = {**os.environ, "HOME": str(tmp_path), "PATH": f"{_programs(tmp_path)}:{os.environ['PATH']}"}
    ran = subprocess.run(
        ["bash", "--norc", "-c", script], env=environment, capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert set(ran.stdout.split()) == wanted


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_completion_in_other_shells(tmp_path: Path, shell: str) -> None:
    environment = {**os.environ, "HOME": str(tmp_path), "_KUMACTL_COMPLETE": f"{shell}_complete"}
    environment |= {"COMP_WORDS": "kumactl get meshtr", "COMP_CWORD": "2" if shell == "zsh" else "meshtr"}
    ran = subprocess.run(
        [sys.executable, "-m", "kumactl"], env=environment, capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "meshtrafficpermissions" in ran.stdout
    assert "meshes" not in ran.stdout
