"""The server certificate for gRPC, read again when its files change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import grpc

from kumacp.tls_context_disk import stamp
from kumamesh.errors import UserError


class CertificateFiles:
    """A certificate chain and its key, both PEM."""

    def __init__(self, certificate: Path, key: Path) -> None:
        self._certificate = certificate
        self._key = key
        self._stamp = stamp(certificate, key)

    def credentials(self) -> Any:
        """Server credentials that follow the files; a pair that does not fit keeps the one before."""
        try:
            configuration = self._read()
        except OSError as error:
            raise UserError(f"the certificate {self._certificate} cannot be read: {error.strerror}") from None
        return grpc.dynamic_ssl_server_credentials(
            configuration, self._changed, require_client_authentication=False
        )

    def _changed(self) -> Any:
        """Called in gRPC's threads, once per handshake; None keeps the present certificate."""
        present = stamp(self._certificate, self._key)
        if present is None or present == self._stamp:
            return None
        try:
            configuration = self._read()
        except OSError:
            return None
        self._stamp = present
        return configuration

    def _read(self) -> Any:
        pair = (self._key.read_bytes(), self._certificate.read_bytes())
        return grpc.ssl_server_certificate_configuration([pair], root_certificates=None)
