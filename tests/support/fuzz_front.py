"""Fuzz targets: the front of port 5678, and who counts as a program of this host."""

from __future__ import annotations

import socket
import ssl
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from client_hello import client_hello, in_records
from fuzz import Target
from fuzz_mutate import bytes_mutation
from kumacp.api.auth import is_local
from kumacp.front.clienthello import MAX_HELLO_BYTES, NeedMore, Route, classify
from kumacp.front.peer import client_address, socket_name
from kumacp.identity.server_cert import create_server_certificate
from kumamesh.names import format_address


def check_hello(data: bytes) -> str:
    answer = classify(data)
    if isinstance(answer, NeedMore):
        assert len(data) < answer.total <= MAX_HELLO_BYTES
        return "more"
    assert classify(data + b"\x00\x16\x03 tail") is answer, "later bytes change the route"
    return answer.value


def check_hello_and_openssl(data: bytes) -> str:
    """What OpenSSL takes for a hello with h2 alone is never dropped, and goes to gRPC."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    connection = _server().wrap_bio(incoming, outgoing, server_side=True)
    incoming.write(data)
    try:
        connection.do_handshake()
    except ssl.SSLWantReadError:
        chosen = outgoing.pending > 0
    except ssl.SSLError:
        chosen = False
    answer = classify(data)
    if chosen:
        assert answer in (Route.GRPC, Route.HTTP), f"OpenSSL would talk to it, the front says {answer}"
        assert (connection.selected_alpn_protocol() == "h2") == (answer is Route.GRPC)
    return f"{answer if isinstance(answer, Route) else 'more'} {chosen}"


@cache
def _server() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with TemporaryDirectory() as folder:
        certificate, key = Path(folder, "crt"), Path(folder, "key")
        certificate_pem, key_pem = create_server_certificate("localhost", [], datetime.now(UTC))
        certificate.write_bytes(certificate_pem)
        key.write_bytes(key_pem)
        context.load_cert_chain(certificate, key)
    # A server that prefers HTTP/1.1 tells by its choice whether a client offers h2 alone.
    context.set_alpn_protocols(["http/1.1", "h2"])
    return context


def check_peer(data: bytes) -> str:
    text = data.decode("utf-8", "replace")
    found = client_address(text)
    host, _, port = text.rpartition("|")
    if (
        host.replace(".", "").replace(":", "").isalnum()
        and port.isdigit()
        and host.isascii()
        and port.isascii()
    ):
        name = socket_name(1, 2, host, int(port)).decode()
        mapped = host.removeprefix("::ffff:") if "." in host else host
        assert client_address(f"unix-abstract:{name}") == format_address(mapped, int(port))
        return "address"
    return "as it is" if found == text else "found"


def _loopback(address: str) -> bool:
    """By the kernel's own reading of addresses."""
    if ":" not in address:
        return socket.inet_pton(socket.AF_INET, address)[0] == 127
    packed = socket.inet_pton(socket.AF_INET6, address)
    return packed == b"\0" * 15 + b"\1" or packed[:13] == b"\0" * 10 + b"\xff\xff\x7f"


def check_local(data: bytes) -> str:
    """Lines: peer, then headers. Local is a loopback peer that names a loopback host, and no other site."""
    peer, *lines = data.decode("latin-1").split("\n")
    headers = {
        name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
    }
    local = is_local(peer, "http", headers)
    if local:
        assert _loopback(peer.partition("%")[0]), peer
        assert not {"forwarded", "x-forwarded-for", "x-real-ip"} & set(headers)
        assert headers.get("sec-fetch-site", "") in ("", "same-origin", "none")
        host = headers["host"].lower()
        assert host.startswith(("localhost", "127.", "[")), host
        assert "@" not in host
    return str(local)


_HELLOS = (
    client_hello(["h2"]),
    client_hello(["h2", "http/1.1"]),
    client_hello(["http/1.1"]),
    client_hello(),
    in_records(client_hello(["h2"]), 60),
    in_records(client_hello(["h2"], server_name="a" * 60 + ".example"), 200),
)
_HELLO_PARTS = bytes_mutation(b"\x16\x03\x01", b"\x00\x10", b"\x02h2", b"\x08http/1.1")

TARGETS = (
    Target("ClientHello", _HELLOS, (_HELLO_PARTS,), check_hello),
    Target("ClientHello against OpenSSL", _HELLOS, (_HELLO_PARTS,), check_hello_and_openssl, share=0.2),
    Target(
        "peer names",
        (b"10.0.0.1|5678", b"::ffff:10.0.0.1|1", b"fe80::1|2", b"unix-abstract:%00mux/1.2/10.0.0.1:80"),
        (bytes_mutation(b"mux/", b"/", b":", b"|", b"%5B", b"[", b"]", b"::ffff:"),),
        check_peer,
        share=0.5,
    ),
    Target(
        "who is local",
        (
            b"127.0.0.1\nhost: localhost:5681",
            b"::1\nhost: [::1]:5681\norigin: http://[::1]:5681\nsec-fetch-site: same-origin",
            b"::ffff:127.0.0.1\nhost: 127.0.0.1",
            b"10.0.0.1\nhost: localhost\nx-forwarded-for: 127.0.0.1",
        ),
        (
            bytes_mutation(
                b"\n", b":", b"@", b"localhost", b"127.0.0.1", b"[::1]", b"%lo", b".evil", b"0x7f.1", b"\t"
            ),
        ),
        check_local,
    ),
)
