"""The TLS context of the HTTP servers, made anew when the files of its certificate change."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kumamesh.errors import UserError

_PEM = frozenset({".pem", ".crt"})

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ClientCertificates:
    """Whose certificates are trusted: those in the PEM files (`*.pem`, `*.crt`) of a folder, and what they
    signed. Without `required`, clients may also show none."""

    folder: Path
    required: bool = False

    def files(self) -> list[Path]:
        """Raises UserError when the folder cannot be read."""
        try:
            return sorted(path for path in self.folder.expanduser().iterdir() if path.suffix in _PEM)
        except OSError as error:
            raise UserError(
                f"the client certificates in {self.folder} cannot be read ({error.strerror}): correct"
                " KUMA_API_SERVER_AUTH_CLIENT_CERTS_DIR"
            ) from None


class CertificateContext:
    """`certificate` and `key` are PEM files; raises UserError when the first pair does not fit. While a later
    one does not (it is half written, perhaps), the one before stays in use."""

    def __init__(self, certificate: Path, key: Path, clients: ClientCertificates | None = None) -> None:
        self._files = (certificate, key)
        self._clients = clients
        self._stamp = self._present()
        self._context = self._made()

    def current(self) -> ssl.SSLContext:
        """The context for one connection."""
        present = self._present()
        if present != self._stamp:
            self._stamp = present
            try:
                self._context = self._made()
                _log.info("the server certificate was loaded again")
            except UserError as error:
                _log.error("%s; the certificate before stays in use", error)
        return self._context

    def _made(self) -> ssl.SSLContext:
        context = _server_context(*self._files)
        if self._clients is not None:
            _trust(context, self._clients)
        return context

    def _present(self) -> object:
        """Another value when a file was written, came or went."""
        if self._clients is None:
            return stamp(*self._files)
        try:
            clients = self._clients.files()
        except UserError:
            return None
        return clients, stamp(*self._files, *clients)

    def lasting(self) -> ssl.SSLContext:
        """One context for all connections, which takes the current certificate for each."""
        context = _Following(ssl.PROTOCOL_TLS_SERVER)
        context.current = self.current
        return context


class _Following(ssl.SSLContext):
    """Makes every connection from the context that `current` gives.

    An `sni_callback` could switch contexts, too, but Python prints a traceback for every hello whose server
    name is not ASCII before it calls one.
    """

    current: Callable[[], ssl.SSLContext]

    def wrap_bio(self, *arguments: Any, **options: Any) -> ssl.SSLObject:
        return self.current().wrap_bio(*arguments, **options)


def stamp(*files: Path) -> tuple[tuple[int, int, int], ...] | None:
    """Another one when a file was written or replaced; None when one of them is missing."""
    try:
        found = [path.stat() for path in files]
    except OSError:
        return None
    return tuple((each.st_mtime_ns, each.st_ino, each.st_size) for each in found)


def _trust(context: ssl.SSLContext, clients: ClientCertificates) -> None:
    context.verify_mode = ssl.CERT_REQUIRED if clients.required else ssl.CERT_OPTIONAL
    # The certificate of one person may be trusted, and not only that of an authority.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    # A session that is taken up again is not checked again, also not against files that have changed.
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0
    for path in clients.files():
        try:
            context.load_verify_locations(path)
        except (OSError, ssl.SSLError) as error:
            reason = error.strerror or type(error).__name__
            raise UserError(
                f"the client certificate {path} cannot be used ({reason}): keep only PEM certificates there"
            ) from None


def _server_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """A new context for every pair: a mismatched pair loaded in place would break every later handshake."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        # Never asks at the terminal for the passphrase of a key.
        context.load_cert_chain(certificate, key, password="")
    except (OSError, ssl.SSLError) as error:
        reason = error.strerror or type(error).__name__
        raise UserError(
            f"the certificate {certificate} and the key {key} cannot be used ({reason}): give a PEM"
            " certificate and the unencrypted key that belongs to it"
        ) from None
    return context
