"""A name has no address where Envoy does not listen."""

from __future__ import annotations

import pytest

from kumadp.bound_names import remedy, without_closed
from kumadp.envoy.admin import addresses_of
from kumadp_dns.answers.document import Document, Record

LISTENING = frozenset({"127.240.0.1", "127.240.0.2"})


def test_addresses_that_others_have_are_left_out_and_the_names_stay() -> None:
    document = Document(
        (
            Record("a.mesh", ("127.240.0.1", "::ffff:7ff0:1")),
            Record("b.mesh", ("127.240.0.3", "127.240.0.2")),
            Record("c.mesh", ("127.240.0.3", "::ffff:7ff0:3")),
            Record("d.mesh", ()),
        ),
        ttl=7,
        domains=("corp",),
    )
    left, closed = without_closed(document, LISTENING)
    assert left == Document(
        (
            document.records[0],
            Record("b.mesh", ("127.240.0.2",)),
            Record("c.mesh", ()),
            document.records[3],
        ),
        ttl=7,
        domains=("corp",),
    )
    assert closed == ("b.mesh 127.240.0.3", "c.mesh 127.240.0.3", "c.mesh ::ffff:7ff0:3")


def test_a_table_whose_addresses_are_all_listened_on_is_left_as_it_is() -> None:
    document = Document((Record("a.mesh", ("127.240.0.1",)),))
    assert without_closed(document, LISTENING) == (document, ())


def test_a_flaw_stays_with_its_record() -> None:
    document = Document(
        (Record("a.mesh", (), "`ips` is not a list of addresses"), Record("b", ("nonsense",)))
    )
    left, closed = without_closed(document, LISTENING)
    assert left.records == (document.records[0], Record("b", ()))
    assert closed == ("b nonsense",)


def test_the_remedy_fits_the_address() -> None:
    assert remedy(("a.mesh 127.240.0.1", "a.mesh ::ffff:7ff0:1")).startswith("another program of this host")
    assert "KUMA_DNS_SERVER_CIDR in 127.0.0.0/8" in remedy(("a.mesh 127.240.0.1", "b.mesh 240.0.0.1"))


def test_what_envoy_says_of_its_listeners() -> None:
    tcp = b'{"socket_address":{"address":"127.240.0.1","port_value":80}}'
    pipe = b'{"pipe":{"path":"/x.sock"}}'
    answer = b'{"listener_statuses":[{"name":"a","local_address":%s},{"local_address":%s},{}]}' % (tcp, pipe)
    assert addresses_of(answer) == {"127.240.0.1"}
    assert addresses_of(b"{}") == frozenset()


@pytest.mark.parametrize(
    "answer", [b"", b"[]", b'{"listener_statuses":[1]}', b'{"listener_statuses":[{"local_address":[]}]}']
)
def test_what_cannot_be_read_is_told(answer: bytes) -> None:
    with pytest.raises(ValueError):
        addresses_of(answer)
