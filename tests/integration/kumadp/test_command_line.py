"""`kuma-dp` itself: version, help, what it imports."""

from __future__ import annotations

import subprocess
import sys

_WITHOUT_EXTRA = """
import sys
for name in ("aiohttp", "pydantic", "cryptography", "jwt", "sqlalchemy"):
    sys.modules[name] = None
import kumadp.cli, kumadp.commands.root, kumadp.commands.run, kumadp.commands.version
import kumadp.agent, kumadp.proxy_driver, kumadp.commands.dns, kumadp.dns_client
import kumadp.relay.observe
"""
_BEFORE_ENVOY = """
import sys
import kumadp.commands.run, kumadp.agent, kumadp.relay.server, kumadp_dns.name_server_process
late = {"google.protobuf", "envoy", "h11", "kumadp.lifecycle.machine", "importlib.metadata"}
late |= {"dnslib", "kumadp_dns.answers.build", "kumamesh.transparent_proxy.config"}
print(sorted(late & set(sys.modules)))
"""


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, timeout=60, check=False
    )


def test_version() -> None:
    short = python("-m", "kumadp", "version")
    assert (short.returncode, short.stdout) == (0, "Kuma: 2.13.0\n")
    for flag in ("--detailed", "-a"):
        lines = python("-m", "kumadp", "version", flag).stdout.splitlines()
        assert [line.split(":")[0] for line in lines] == [
            "Product",
            "Version",
            "Git Tag",
            "Git Commit",
            "Build Date",
        ]


def test_help_names_the_commands_and_no_argument_is_help() -> None:
    bare = python("-m", "kumadp")
    assert bare.returncode == 0
    for command in ("run", "dns", "version", "demo"):
        assert f"  {command} " in bare.stdout
    assert python("-m", "kumadp", "--help").stdout == bare.stdout


def test_unknown_commands_and_levels_are_one_line() -> None:
    for arguments in (["rnu"], ["--log-level=loud", "version"], ["run", "--log-level=loud"]):
        result = python("-m", "kumadp", *arguments)
        assert result.returncode == 2
        assert result.stderr.startswith("Error: ")
        assert result.stderr.count("\n") == 1


def test_the_agent_needs_nothing_of_the_control_plane_s_libraries() -> None:
    result = python("-c", _WITHOUT_EXTRA)
    assert result.returncode == 0, result.stderr


def test_what_envoy_need_not_wait_for_is_imported_after_its_start() -> None:
    assert python("-c", _BEFORE_ENVOY).stdout == "[]\n"
