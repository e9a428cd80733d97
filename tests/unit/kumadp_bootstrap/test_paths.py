"""Socket paths that the agent and the control plane must derive alike."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kumadp_bootstrap import paths
from kumamesh.errors import UserError


def test_names() -> None:
    assert paths.access_log("/tmp/kd", "web-1", "default") == "/tmp/kd/kuma-al-web-1-default.sock"
    assert paths.metrics_hijacker("/tmp/kd/", "web-1", "default") == "/tmp/kd/kuma-mh-web-1-default.sock"
    assert paths.dynamic_config("/tmp/kd") == "/tmp/kd/kuma-mesh-metric-config.sock"
    assert paths.otel_exporter("/tmp/kd", "main") == "/tmp/kd/kuma-otel-main.sock"
    assert paths.readiness_reporter("/tmp/kd") == "/tmp/kd/kuma-readiness-reporter.sock"
    assert paths.access_log("", "web-1", "") == "kuma-al-web-1-.sock"


def test_the_whole_path_is_cut_not_the_name_alone() -> None:
    long = paths.access_log("/" + "d" * 49, "n" * 100, "default")
    assert long == "/" + "d" * 49 + "/kuma-al-" + "n" * 39 + ".sock"
    assert len(long) == 98 + len(".sock")


@given(st.text(st.characters(exclude_categories=["Cs"])), st.text(st.characters(exclude_categories=["Cs"])))
def test_derived_paths_always_fit_into_a_socket_address(workdir: str, name: str) -> None:
    assert paths.check_socket_path(paths.access_log(workdir, name, "m")).endswith(".sock")


def test_the_longest_path_of_a_socket() -> None:
    assert paths.check_socket_path("/" + "a" * 106)
    with pytest.raises(UserError, match=r"has 108 bytes.* shorter --work-dir"):
        paths.check_socket_path("/" + "a" * 107)
    with pytest.raises(UserError, match="has 108 bytes"):
        paths.check_socket_path("/a" + "é" * 53)


def test_the_longest_work_dir() -> None:
    fits = "/" + "a" * 73
    assert paths.check_work_dir(fits) == fits
    assert paths.readiness_reporter(fits) == f"{fits}/kuma-readiness-reporter.sock"
    with pytest.raises(UserError, match=r"has 75 bytes.* room for 74: give a shorter --work-dir"):
        paths.check_work_dir(fits + "a")
