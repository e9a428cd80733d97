"""The demo's table and its small world."""

from __future__ import annotations

import io
from ipaddress import ip_address, ip_network

import pytest

from kumadp.demo import world
from kumadp.demo.table import Table, duration


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_step_is_written_when_it_ends() -> None:
    stream = io.StringIO()
    with Table(stream, lambda: 120).step("first") as step:
        before = stream.getvalue()
        step.result = "done"
    assert "first" not in before
    assert stream.getvalue().splitlines()[-1].startswith("  1  first")
    assert stream.getvalue().endswith("done\n")


def test_a_terminal_shows_the_running_step() -> None:
    stream = _Terminal()
    with Table(stream, lambda: 120).step("first"):
        assert "first" in stream.getvalue()


def test_the_running_step_fits_into_one_row_of_a_narrow_terminal() -> None:
    stream = _Terminal()
    with Table(stream, lambda: 30).step("a step with a name that is longer than the terminal is wide"):
        header, _, running = stream.getvalue().rpartition("\n")
    assert running == "  1  a step with a name that is longer"[:29]
    assert all(len(line) < 30 for line in header.splitlines())
    assert (
        stream.getvalue().splitlines()[-1].startswith("\x1b[K  1  a step")
        or "\r\x1b[K  1  a step" in stream.getvalue()
    )


def test_a_terminal_without_width_is_no_fault() -> None:
    with Table(_Terminal(), lambda: 0).step("first"):
        pass


def test_a_failed_step_leaves_no_result() -> None:
    stream = io.StringIO()
    with pytest.raises(RuntimeError), Table(stream, lambda: 120).step("first"):
        raise RuntimeError
    assert "first" not in stream.getvalue()


@pytest.mark.parametrize(("seconds", "text"), [(0.0123, "12 ms"), (0.9994, "999 ms"), (1.234, "1.23 s")])
def test_durations_are_readable(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_every_port_has_its_own_place() -> None:
    numbers = range(1, world.Ports.COUNT + 1)
    ports = world.Ports.from_free(numbers)
    one = [ports.api, ports.api_https, ports.dp_server, ports.diagnostics]
    one += [ports.web_app, ports.web_inbound, ports.web_dns, ports.virtual]
    several = ports.backend_apps + ports.backend_inbounds + ports.readiness + ports.admin
    assert sorted([*one, *several]) == list(numbers)


def test_web_says_nothing_of_backend_and_addresses_are_of_this_host() -> None:
    ports = world.Ports.from_free(range(world.Ports.COUNT))
    assert "outbound" not in world.web_dataplane(ports)["networking"]
    environ = world.control_plane_environment(ports, "/tmp/cp")
    addresses = ip_network(environ["KUMA_DNS_SERVER_CIDR"])
    assert addresses.subnet_of(ip_network("127.0.0.0/8"))
    assert not {ip_address("127.0.0.1"), ip_address("127.0.1.1")} & set(addresses)
    assert environ["KUMA_DNS_SERVER_SERVICE_VIP_PORT"] == str(ports.virtual)
