"""The name that a certificate is good for, where any certificate is accepted."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from joined_zone import joined_zone
from kumacp.kds.at_zone.pin_client import shown_by
from kumacp.kds.protocol.streams import GLOBAL_TO_ZONE
from scripted_global import scripted_global


def self_signed(common: str, *names: x509.GeneralName) -> tuple[bytes, bytes]:
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)] if common else [])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=not common)
    made = builder.sign(key, hashes.SHA256())
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return made.public_bytes(Encoding.PEM), private


@pytest.mark.parametrize(
    "identity",
    [
        self_signed("global.example"),
        self_signed("", x509.DNSName("global.example")),
        self_signed("other", x509.DNSName("*.example"), x509.DNSName("global.example")),
        self_signed("other", x509.IPAddress(ip_address("192.0.2.7"))),
        self_signed("other", x509.IPAddress(ip_address("127.0.0.1"))),
    ],
    ids=["common name", "dns", "wildcard", "another address", "this address"],
)
async def test_any_certificate_is_accepted_when_told_so(identity: tuple[bytes, bytes]) -> None:
    async with (
        scripted_global(identity) as world,
        joined_zone(world.port, tls=True, kds_tls_skip_verify=True),
    ):
        await world.opened(GLOBAL_TO_ZONE)


async def test_who_gives_up_leaves_no_connection_behind() -> None:
    hello, over = asyncio.Event(), asyncio.Event()

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while await reader.read(4_096):
                hello.set()
        over.set()
        writer.close()

    async with await asyncio.start_server(say_nothing, "127.0.0.1", 0) as server:
        looking = asyncio.create_task(shown_by(*server.sockets[0].getsockname()))
        async with asyncio.timeout(20.0):
            await hello.wait()
            looking.cancel()
            await over.wait()
