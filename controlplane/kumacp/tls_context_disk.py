"""The TLS context of the HTTP servers, made anew when the files of its certificate change."""

from __future__ import annotations

import logging
import ssl
from pathlib import Path

from kumamesh.errors import UserError

_log = logging.getLogger(__name__)


class CertificateContext:
    """`certificate` and `key` are PEM files; raises UserError when the first pair does not fit. While a later
    one does not (it is half written, perhaps), the one before stays in use."""

    def __init__(self, certificate: Path, key: Path) -> None:
        self._files = (certificate, key)
        self._stamp = stamp(*self._files)
        self._context = _server_context(*self._files)

    def current(self) -> ssl.SSLContext:
        """The context for one connection."""
        present = stamp(*self._files)
        if present != self._stamp:
            self._stamp = present
            try:
                self._context = _server_context(*self._files)
                _log.info("the server certificate was loaded again")
            except UserError as error:
                _log.error("%s; the certificate before stays in use", error)
        return self._context

    def lasting(self) -> ssl.SSLContext:
        """One context for all connections, which takes the current certificate for each."""
        context = _server_context(*self._files)

        def switch(connection: ssl.SSLObject, _name: str, _context: ssl.SSLContext) -> None:
            connection.context = self.current()

        # Called for clients without a server name, too.
        context.sni_callback = switch
        return context


def stamp(*files: Path) -> tuple[tuple[int, int, int], ...] | None:
    """Another one when a file was written or replaced; None when one of them is missing."""
    try:
        found = [path.stat() for path in files]
    except OSError:
        return None
    return tuple((each.st_mtime_ns, each.st_ino, each.st_size) for each in found)


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
