"""`kumactl generate`: what is made offline, and what is left behind when it cannot be."""

from __future__ import annotations

import os
import ssl
import stat
import time
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from kumamesh.resource import ResourceKey
from rest_stub import configure
from running_api import Kumactl, running_api

CERTIFICATE = ("generate", "tls-certificate", "--type=server", "--hostname=localhost,127.0.0.1")
ECDSA = ("--key-type=ecdsa",)


@pytest.fixture
def kumactl(tmp_path: Path) -> Kumactl:
    return Kumactl(tmp_path)


def paths(folder: Path) -> tuple[str, ...]:
    return ("--key-file", str(folder / "key.pem"), "--cert-file", str(folder / "cert.pem"))


async def test_a_certificate_with_its_key(kumactl: Kumactl, tmp_path: Path) -> None:
    made = await kumactl(*CERTIFICATE, "--hostname", "cp.example", *paths(tmp_path))
    assert (made.code, made.err) == (0, "")
    assert made.out.splitlines() == [
        f"Private key saved in {tmp_path / 'key.pem'}",
        f"Certificate saved in {tmp_path / 'cert.pem'}",
    ]
    for name in ("key.pem", "cert.pem"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    certificate = x509.load_pem_x509_certificate((tmp_path / "cert.pem").read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost", "cp.example"]


async def test_a_certificate_on_stdout(kumactl: Kumactl, tmp_path: Path) -> None:
    made = await kumactl(*CERTIFICATE, *ECDSA, "--key-file=-", "--cert-file=-")
    key = serialization.load_pem_private_key(made.out.encode(), None)
    assert key.public_key() == x509.load_pem_x509_certificate(made.out.encode()).public_key()
    assert made.out.startswith("-----BEGIN EC PRIVATE KEY-----")
    half = await kumactl(*CERTIFICATE, *ECDSA, "--key-file=-", "--cert-file", str(tmp_path / "c.pem"))
    assert half.out.startswith("-----BEGIN EC PRIVATE KEY-----")
    assert "CERTIFICATE" not in half.out
    assert (tmp_path / "c.pem").read_text().startswith("-----BEGIN CERTIFICATE-----")


@pytest.mark.parametrize("lost", ["key.pem", "cert.pem"])
async def test_both_files_are_replaced_or_none(kumactl: Kumactl, tmp_path: Path, lost: str) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    kept = folder / ("cert.pem" if lost == "key.pem" else "key.pem")
    kept.write_text("before")
    (folder / lost).mkdir()
    made = await kumactl(*CERTIFICATE, *ECDSA, *paths(folder))
    assert (made.code, made.out) == (1, "")
    assert made.err == f"Error: cannot write {folder / lost}: Is a directory\n"
    assert kept.read_text() == "before"
    assert sorted(os.listdir(folder)) == ["cert.pem", "key.pem"]
    (folder / lost).rmdir()
    assert (await kumactl(*CERTIFICATE, *ECDSA, *paths(folder))).code == 0
    assert kept.read_text().startswith("-----BEGIN")
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("tls-certificate", "--hostname=a"), "Missing option '--type'."),
        (("tls-certificate", "--type=server"), "Missing option '--hostname'"),
        (("tls-certificate", "--type=server", "--hostname=,"), "at least one hostname must be given"),
        (("tls-certificate", "--type=both", "--hostname=a"), "Invalid value for '--type': 'both'"),
        (
            ("tls-certificate", "--type=client", "--hostname=a b"),
            "--hostname: 'a b' is neither a host name nor",
        ),
        (
            ("tls-certificate", "--type=client", "--hostname=a", "--key-file=x", "--cert-file=x"),
            "--key-file and --cert-file must not be the same file",
        ),
        (
            ("tls-certificate", "--type=client", "--hostname=a", "--key-type=ecdsa", "--key-file=/no/k"),
            "cannot write /no/k: No such file or directory",
        ),
        (("user-token", "--valid-for=1h"), "Missing option '--name'."),
        (("user-token", "--name=a"), "Missing option '--valid-for'."),
        (("user-token", "--name=a", "--valid-for=1h", "--kid=1"), "--kid and --signing-key-path go together"),
        (
            ("zone-token", "--zone=z", "--kid=1", "--signing-key-path=/no/key", "--valid-for=1h"),
            "cannot read /no/key: No such file or directory",
        ),
        (("public-key",), "Missing option '--signing-key-path'."),
        (("signing-key", "--format=der"), "Invalid value for '--format': 'der'"),
    ],
)
async def test_mistakes_are_one_line(kumactl: Kumactl, args: tuple[str, ...], message: str) -> None:
    ran = await kumactl("generate", *args)
    assert (ran.code, ran.out, ran.err.count("\n")) == (1, "", 1)
    assert ran.err.startswith(f"Error: {message}")


async def test_every_kind_of_token_can_be_signed_offline(kumactl: Kumactl, tmp_path: Path) -> None:
    async with running_api(tmp_path / "cp") as api:
        configure(tmp_path, "http://127.0.0.1:1")
        signing = {}
        for kind, key in (
            ("user", ResourceKey("GlobalSecret", "", "user-token-signing-key-1")),
            ("zone", ResourceKey("GlobalSecret", "", "zone-token-signing-key-1")),
            ("dataplane", ResourceKey("Secret", "default", "dataplane-token-signing-key-default-1")),
        ):
            path = tmp_path / f"{kind}.pem"
            path.write_bytes((await api.store.get(key)).spec.data)
            signing[kind] = ("--kid=1", "--signing-key-path", str(path), "--valid-for=1h")
        ring, now = await api.key_ring(), time.time() + 5
        made = await kumactl(
            "generate", "user-token", "--name=ann", "--group=a,b", "--group=c", *signing["user"]
        )
        assert (made.code, made.err) == (0, "")
        user = ring.verify_user(made.out, now)
        assert (user.name, user.groups) == ("ann", ("a", "b", "c"))
        made = await kumactl("generate", "zone-token", "--zone=z", *signing["zone"])
        assert ring.verify_zone(made.out, now).scope == ("ingress", "egress")
        made = await kumactl(
            *("generate", "dataplane-token", "--tag", "kuma.io/service=a,b", "--tag=v=1", "--workload=w"),
            *signing["dataplane"],
        )
        claims = ring.verify_dataplane(made.out, "default", now)
        assert claims.tags == {"kuma.io/service": ("a", "b"), "v": ("1",)}
        assert claims.workload == "w"
        assert (tmp_path / "user.pem").read_text() not in made.out + made.err
