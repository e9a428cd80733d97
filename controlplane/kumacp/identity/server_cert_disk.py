"""Finds or makes the control plane's certificate on disk: stable over restarts, never half written."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psutil

from kumacp.identity import x509
from kumacp.identity.server_cert import create_server_certificate
from kumacp.private_disk import private_folder
from kumamesh.errors import UserError

GENERAL = "KUMA_GENERAL_TLS"
"""How the variables of the pair begin that every server has by default."""
_CERT_NAME, _KEY_NAME = "kuma-cp.crt", "kuma-cp.key"


@dataclass(frozen=True, slots=True)
class ServerCertificate:
    """Where the pair is, and the certificate's PEM text."""

    cert_path: Path
    key_path: Path
    cert_pem: bytes


def ensure_server_certificate(
    work_dir: Path, cert_file: Path | None, key_file: Path | None, setting: str = GENERAL
) -> ServerCertificate:
    """The given pair, or the work dir's, made if it is not there; raises UserError. `setting` is how the
    variables begin by which the pair was given."""
    cert_setting, key_setting = f"{setting}_CERT_FILE", f"{setting}_KEY_FILE"
    if cert_file and key_file:
        remedy = f"correct {cert_setting} and {key_setting}"
        return _load(cert_file.expanduser(), key_file.expanduser(), remedy)
    if cert_file or key_file:
        given, missing = ("certificate", "key") if cert_file else ("key", "certificate")
        raise UserError(
            f"a TLS {given} file is given ({cert_file or key_file}) but no {missing} file: "
            f"set both {cert_setting} and {key_setting}, or neither"
        )
    directory = work_dir.expanduser()
    cert_path, key_path = directory / _CERT_NAME, directory / _KEY_NAME
    try:
        private_folder(directory)
        with _locked(directory):
            if not _present(cert_path):
                _make(cert_path, key_path)
    except OSError as error:
        raise UserError(
            f"the work dir {directory} cannot be used ({error.strerror}): make it writable, "
            "or name another in KUMA_GENERAL_WORK_DIR"
        ) from error
    return _load(
        cert_path, key_path, "restore it, or remove the other file of the pair to have both made anew"
    )


@contextlib.contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Two control planes that start at once in one work dir must not mix their pairs."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _present(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0


def _make(cert_path: Path, key_path: Path) -> None:
    certificate, key = create_server_certificate(socket.gethostname(), _local_ips(), datetime.now(UTC))
    # The key first: a certificate on disk always has its key, and a lone key is replaced.
    _write(key_path, key, 0o600)
    _write(cert_path, certificate, 0o644)


def _write(path: Path, data: bytes, mode: int) -> None:
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _load(cert_path: Path, key_path: Path, remedy: str) -> ServerCertificate:
    """`remedy` is for a file that cannot be read."""
    cert_pem, key_pem = _read(cert_path, "certificate", remedy), _read(key_path, "key", remedy)
    try:
        fits = x509.matches(cert_pem, key_pem)
    except ValueError as error:
        raise UserError(
            f"the TLS pair {cert_path} and {key_path} cannot be read as PEM certificate and unencrypted key: "
            "give another pair"
        ) from error
    if not fits:
        raise UserError(f"the key {key_path} does not belong to the certificate {cert_path}: give a pair")
    return ServerCertificate(cert_path, key_path, cert_pem)


def _read(path: Path, what: str, remedy: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"the TLS {what} {path} cannot be read ({error.strerror}): {remedy}") from error


def _local_ips() -> list[str]:
    families = {socket.AF_INET, socket.AF_INET6}
    return [
        address.address.partition("%")[0]
        for addresses in psutil.net_if_addrs().values()
        for address in addresses
        if address.family in families
    ]
