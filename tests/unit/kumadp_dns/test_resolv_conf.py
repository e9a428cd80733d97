"""resolv.conf as the C library reads it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kumadp_dns.forwarding.resolv_conf import MAX_SERVERS, ResolvConf, Server, parse


def hosts(text: str) -> list[str]:
    return [server.host for server in parse(text).servers]


def test_servers_in_their_order() -> None:
    text = (
        "nameserver 10.0.0.2\nnameserver\t10.0.0.1  # a word\r\nnameserver 2001:DB8::1\nnameserver 10.0.0.2\n"
    )
    assert parse(text).servers == (Server("10.0.0.2"), Server("10.0.0.1"), Server("2001:db8::1"))
    assert parse(text).complaints == ()


def test_the_interface_of_a_link_local_address_is_kept() -> None:
    assert hosts("nameserver fe80::1%eth0") == ["fe80::1%eth0"]
    assert str(parse("nameserver fe80::1%eth0").servers[0]) == "[fe80::1%eth0]:53"


def test_any_address_is_this_host() -> None:
    assert hosts("nameserver 0.0.0.0\nnameserver ::\n") == ["127.0.0.1", "::1"]


@pytest.mark.parametrize(
    "line",
    [
        "#nameserver 10.0.0.1",
        "; nameserver 10.0.0.1",
        "search a.example b.example",
        "domain example.com",
        "sortlist 10.0.0.0",
        "",
        "nameservers 10.0.0.1",
        "options ndots:5 edns0 trust-ad timeout attempts:x timeout:-1 rotate:1",
    ],
)
def test_lines_that_say_nothing_about_servers(line: str) -> None:
    assert parse(line) == ResolvConf()


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("nameserver", "line 2: nameserver without an address"),
        ("nameserver dns.example", "line 2: 'dns.example' is no IP address"),
        ("nameserver 10.0.0.1:53", "line 2: '10.0.0.1:53' is no IP address"),
        ("nameserver 10.0.0.256", "line 2: '10.0.0.256' is no IP address"),
        ("nameserver fe80::1%a\x1bb", "line 2: 'fe80::1%a b' is no IP address"),
        ("nameserver " + "x" * 500, f"line 2: '{'x' * 60}' is no IP address"),
    ],
)
def test_lines_that_somebody_may_rely_on_are_complained_about(line: str, complaint: str) -> None:
    conf = parse(f"nameserver 10.0.0.1\n{line}\nnameserver 10.0.0.2\n")
    assert conf.complaints == (complaint,)
    assert [server.host for server in conf.servers] == ["10.0.0.1", "10.0.0.2"]


def test_options_that_change_how_servers_are_asked() -> None:
    conf = parse("options timeout:3 attempts:4\noptions rotate use-vc ndots:2\n")
    assert (conf.timeout_s, conf.attempts, conf.rotate, conf.use_vc) == (3, 4, True, True)


def test_numbers_are_brought_into_their_range() -> None:
    assert parse("options timeout:0 attempts:0").timeout_s == 1
    conf = parse(f"options timeout:{'9' * 5_000} attempts:99")
    assert (conf.timeout_s, conf.attempts) == (30, 5)


def test_there_is_a_bound() -> None:
    conf = parse("".join(f"nameserver 10.0.0.{number}\n" for number in range(200)))
    assert len(conf.servers) == MAX_SERVERS
    assert conf.complaints[0] == "line 9: 10.0.0.8 is left out, 8 are enough"
    assert len(conf.complaints) == 8


@given(st.text())
def test_no_text_is_too_strange(text: str) -> None:
    conf = parse(text)
    assert all(complaint.isprintable() for complaint in conf.complaints)


@given(
    st.lists(st.ip_addresses().filter(lambda address: not address.is_unspecified), max_size=8, unique=True)
)
def test_every_address_is_understood(addresses: list[object]) -> None:
    text = "".join(f"nameserver {address}\n" for address in addresses)
    assert hosts(text) == [str(address) for address in addresses]
