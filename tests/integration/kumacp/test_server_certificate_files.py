"""The control plane's certificate on disk: made once, kept, safe to make twice, clear when it cannot be."""

from __future__ import annotations

import contextlib
import socket
import ssl
import stat
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from kumacp.identity.server_cert import create_server_certificate, is_ca, subject_names
from kumacp.identity.server_cert_disk import ensure_server_certificate
from kumamesh.errors import UserError

NOW = datetime(2025, 3, 1, tzinfo=UTC)
PAIR = create_server_certificate("cp", [], NOW)


def given(tmp_path: Path, cert: bytes, key: bytes) -> tuple[Path, Path]:
    (tmp_path / "c.pem").write_bytes(cert)
    (tmp_path / "k.pem").write_bytes(key)
    return tmp_path / "c.pem", tmp_path / "k.pem"


def test_made_at_first_start_and_kept_at_the_next(tmp_path: Path) -> None:
    work_dir = tmp_path / "a" / "kuma"
    first = ensure_server_certificate(work_dir, None, None)
    assert (first.cert_path, first.key_path) == (work_dir / "kuma-cp.crt", work_dir / "kuma-cp.key")
    assert first.cert_path.read_bytes() == first.cert_pem
    assert stat.S_IMODE(first.key_path.stat().st_mode) == 0o600
    assert sorted(path.name for path in work_dir.iterdir()) == ["kuma-cp.crt", "kuma-cp.key"]
    assert ensure_server_certificate(work_dir, None, None) == first


def test_valid_for_this_machine(tmp_path: Path) -> None:
    made = ensure_server_certificate(tmp_path, None, None)
    names = subject_names(made.cert_pem)
    assert {"localhost", socket.gethostname()} <= set(names.dns)
    assert "127.0.0.1" in names.ips
    assert is_ca(made.cert_pem)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_its_own_ca_for_the_strictest_client(tmp_path: Path, host: str) -> None:
    made = ensure_server_certificate(tmp_path, None, None)
    server_context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server_context.load_cert_chain(made.cert_path, made.key_path)
    client_context = ssl.create_default_context(cafile=made.cert_path)
    client_context.verify_flags |= ssl.VERIFY_X509_STRICT
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = server_context.wrap_bio(to_server, to_client, server_side=True)
    client = client_context.wrap_bio(to_client, to_server, server_hostname=host)
    for _ in range(3):
        for end in (client, server):
            with contextlib.suppress(ssl.SSLWantReadError):
                end.do_handshake()
    assert client.getpeercert()


def test_several_control_planes_that_start_at_once_agree(tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: ensure_server_certificate(tmp_path, None, None), range(4)))
    assert len({pair.cert_pem for pair in made}) == 1


def test_a_lone_key_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "kuma-cp.key").write_bytes(PAIR[1])
    (tmp_path / "kuma-cp.crt").write_bytes(b"")
    assert ensure_server_certificate(tmp_path, None, None).cert_pem != PAIR[0]


def test_a_lone_certificate_is_not_silently_replaced(tmp_path: Path) -> None:
    (tmp_path / "kuma-cp.crt").write_bytes(PAIR[0])
    with pytest.raises(UserError, match=r"kuma-cp\.key cannot be read \(No such file"):
        ensure_server_certificate(tmp_path, None, None)


def test_a_given_pair_is_taken(tmp_path: Path) -> None:
    cert, key = given(tmp_path, *PAIR)
    taken = ensure_server_certificate(tmp_path / "unused", cert, key)
    assert (taken.cert_path, taken.cert_pem) == (cert, PAIR[0])
    assert not (tmp_path / "unused").exists()


def test_half_a_pair(tmp_path: Path) -> None:
    cert, key = given(tmp_path, *PAIR)
    with pytest.raises(UserError, match="no key file: set both"):
        ensure_server_certificate(tmp_path, cert, None)
    with pytest.raises(UserError, match="no certificate file: set both KUMA_GENERAL_TLS_CERT_FILE and"):
        ensure_server_certificate(tmp_path, None, key)
    with pytest.raises(UserError, match="set both KUMA_DP_SERVER_TLS_CERT_FILE and KUMA_DP_SERVER_TLS_KEY"):
        ensure_server_certificate(tmp_path, None, key, "KUMA_DP_SERVER_TLS")


def test_a_given_file_that_is_missing_is_named_with_its_variable(tmp_path: Path) -> None:
    cert, _ = given(tmp_path, *PAIR)
    with pytest.raises(
        UserError, match=r"nowhere cannot be read .*: correct KUMA_DP_SERVER_TLS_CERT_FILE and"
    ):
        ensure_server_certificate(tmp_path, cert, tmp_path / "nowhere", "KUMA_DP_SERVER_TLS")


def test_a_pair_that_does_not_belong_together(tmp_path: Path) -> None:
    cert, key = given(tmp_path, PAIR[0], create_server_certificate("other", [], NOW)[1])
    with pytest.raises(UserError, match="does not belong to the certificate"):
        ensure_server_certificate(tmp_path, cert, key)


@pytest.mark.parametrize(("cert", "key"), [(b"?", PAIR[1]), (PAIR[0], b"?"), (b"", b"")])
def test_files_that_are_no_pem(tmp_path: Path, cert: bytes, key: bytes) -> None:
    paths = given(tmp_path, cert, key)
    with pytest.raises(UserError, match="cannot be read as PEM"):
        ensure_server_certificate(tmp_path, *paths)


def test_a_work_dir_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"the work dir .*KUMA_GENERAL_WORK_DIR"):
        ensure_server_certificate(tmp_path / "file" / "kuma", None, None)
