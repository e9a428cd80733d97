"""Envoy's command line, environment and version."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kumadp.envoy.argv import envoy_argv, envoy_environment
from kumadp.envoy.version import EnvoyVersion, parse_version, version_warning
from kumadp.settings import DpSettings
from kumamesh.errors import UserError
from kumamesh.settings import resolve

START = ("/e", "--config-path", "/w/b.yaml", "--drain-time-s", "30", "--drain-strategy", "immediate")


def argv(**flags: Any) -> tuple[str, ...]:
    return envoy_argv(resolve(DpSettings, flags=flags).settings, Path("/e"), Path("/w/b.yaml"))


def test_defaults() -> None:
    assert argv() == (*START, "--disable-hot-restart", "--log-level", "info")


def test_everything_set() -> None:
    assert argv(
        drain_time=0.5, envoy_log_level="trace", envoy_component_log_level="upstream:debug", concurrency=3
    ) == (
        *START[:4],
        "1",
        *START[5:],
        "--disable-hot-restart",
        "--log-level",
        "trace",
        "--component-log-level",
        "upstream:debug",
        "--concurrency",
        "3",
    )


def test_envoy_logs_as_much_as_the_agent_unless_told_otherwise() -> None:
    assert argv(log_level="debug")[-1] == "debug"


def test_secrets_stay_out_of_the_environment() -> None:
    environ = {
        "PATH": "/bin",
        "KUMA_DATAPLANE_RUNTIME_TOKEN": "secret",
        "KUMA_DATAPLANE_RUNTIME_TOKEN_PATH": "/t",
        "KUMA_CONTROL_PLANE_URL": "https://cp",
        "TOKEN": "of the user's own",
    }
    assert envoy_environment(environ) == {
        "PATH": "/bin",
        "KUMA_CONTROL_PLANE_URL": "https://cp",
        "TOKEN": "of the user's own",
    }


def test_the_version_line_is_parsed() -> None:
    found = parse_version("\n/x/envoy  version: 9e55/1.40.0/Clean/RELEASE/BoringSSL\n", "envoy")
    assert found == EnvoyVersion("1.40.0", "9e55/1.40.0/Clean/RELEASE/BoringSSL")


@pytest.mark.parametrize("output", ["", "nginx version: nginx/1.2", "version: a/b/c", "\0\xff"])
def test_other_programs_are_not_taken_for_envoy(output: str) -> None:
    with pytest.raises(UserError, match="/bin/x is not an Envoy"):
        parse_version(output, "/bin/x")


@pytest.mark.parametrize(
    ("version", "compatible"),
    [
        ("1.40.0", True),
        ("1.40.7", True),
        ("1.40.0-dev", True),
        ("1.39.9", False),
        ("1.41.0", False),
        ("2.40.0", False),
        ("unknown", False),
    ],
)
def test_later_patches_of_the_tested_version_fit(version: str, compatible: bool) -> None:
    found = EnvoyVersion(version, "")
    assert found.compatible is compatible
    assert found.to_wire()["kumaDpCompatible"] is compatible
    assert (version_warning(found) == "") is compatible
