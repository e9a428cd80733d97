"""Every option of the agent: default, variable, flag, and which one wins."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from kumadp.settings import DpSettings
from kumamesh.errors import UserError
from kumamesh.options import add_flags
from kumamesh.settings import Option, Origin, Seconds, options, resolve

# (environment text, its value), (flag text, its value) by type: none of them is a default.
_SAMPLES: dict[Any, tuple[tuple[str, Any], tuple[str, Any]]] = {
    str: (("from-env", "from-env"), ("from-flag", "from-flag")),
    int: (("4711", 4711), ("4712", 4712)),
    Path: (("/from/env", Path("/from/env")), ("/from/flag", Path("/from/flag"))),
    Seconds: (("1m30s", 90.0), ("250ms", 0.25)),
}


def _samples(item: Option) -> tuple[tuple[str, Any], tuple[str, Any]]:
    if item.repeatable:
        (env, one), (flag, other) = _SAMPLES[item.type]
        return (env, (one,)), (flag, (other,))
    if item.is_bool:
        env, flag = not item.default, item.default
        return (str(env).lower(), env), (str(flag).lower(), flag)
    if item.choices:
        env, flag = [choice for choice in item.choices if choice != item.default][:2]
        return (env, env), (flag, flag)
    return _SAMPLES[item.type]


def _flags(arguments: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}

    @click.command()
    @add_flags(DpSettings)
    def command(**flags: Any) -> None:
        found.update(flags)

    result = CliRunner().invoke(command, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return found


WITH_VARIABLE = [item for item in options(DpSettings) if item.env]
WITH_BOTH = [item for item in WITH_VARIABLE if item.flag]


@pytest.mark.parametrize("item", WITH_VARIABLE, ids=lambda item: item.env)
def test_the_variable_beats_the_default(item: Option) -> None:
    (text, value), _ = _samples(item)
    found = resolve(DpSettings, environ={item.env: text})
    assert getattr(found.settings, item.name) == value
    assert found.origins[item.name] is Origin.ENVIRONMENT


@pytest.mark.parametrize("item", WITH_BOTH, ids=lambda item: item.flag)
def test_the_flag_beats_the_variable(item: Option) -> None:
    (env_text, _), (text, value) = _samples(item)
    found = resolve(DpSettings, flags=_flags([f"--{item.flag}={text}"]), environ={item.env: env_text})
    assert getattr(found.settings, item.name) == value
    assert found.origins[item.name] is Origin.FLAG


def test_defaults_are_those_of_kuma() -> None:
    settings = resolve(DpSettings).settings
    assert settings.cp_address == "https://localhost:5678"
    assert settings.proxy_type == "dataplane"
    assert (settings.drain_time, settings.retry_backoff, settings.retry_max_duration) == (30, 3, 300)
    assert settings.readiness_port == 9902
    assert settings.dns_enabled
    assert (settings.dns_proxy_port, settings.dns_envoy_port, settings.dns_prometheus_port) == (
        15053,
        15054,
        19153,
    )
    assert not settings.bind_outbounds
    assert settings.strict_inbound_ports
    assert settings.reuse_port
    assert not settings.skip_verify


def test_variables_may_be_repeated_and_short() -> None:
    assert _flags(["-v", "a=1,b=2", "--dataplane-var", "c=3"])["resource_vars"] == ("a=1", "b=2", "c=3")
    assert _flags(["-d", "file.yaml"])["resource_file"] == "file.yaml"


def test_files_of_the_transparent_proxy_may_be_repeated_and_listed() -> None:
    arguments = ["--transparent-proxy-config", "a.yaml,b.yaml", "--transparent-proxy-config=-"]
    assert _flags(arguments)["transparent_proxy_config"] == ("a.yaml", "b.yaml", "-")


def test_a_wrong_variable_is_named() -> None:
    with pytest.raises(UserError, match="KUMA_DATAPLANE_DRAIN_TIME is wrong: '30' is not a duration"):
        resolve(DpSettings, environ={"KUMA_DATAPLANE_DRAIN_TIME": "30"})


def test_a_wrong_proxy_type_is_refused() -> None:
    with pytest.raises(UserError, match="'sidecar' is not one of dataplane, ingress, egress"):
        resolve(DpSettings, environ={"KUMA_DATAPLANE_PROXY_TYPE": "sidecar"})


def test_a_misspelt_variable_is_reported() -> None:
    found = resolve(DpSettings, environ={"KUMA_DATAPLANE_RUNTIME_TOKEN_PTH": "/t"})
    assert "did you mean KUMA_DATAPLANE_RUNTIME_TOKEN_PATH?" in found.warnings[0]
