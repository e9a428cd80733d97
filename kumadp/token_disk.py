"""Where the token comes from, read anew whenever it is needed so that rotation needs no restart."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path

from kumadp.file_disk import read_text
from kumadp.settings import DpSettings
from kumadp.token import check_token
from kumamesh.errors import UserError

log = logging.getLogger(__name__)

_MAX_BYTES = 64 * 1024


@dataclass(slots=True)
class TokenSource:
    """An inline token, a token file, or neither."""

    inline: str = field(default="", repr=False)
    path: Path | None = None
    _last: str = field(default="", repr=False)

    @classmethod
    def from_settings(cls, settings: DpSettings) -> TokenSource:
        """The token's shape is checked here; the inline token wins over the file."""
        if settings.token:
            return cls(check_token(settings.token, "the dataplane token"))
        source = cls(path=settings.token_file and settings.token_file.expanduser().absolute())
        source._last = source._read()
        return source

    def read(self) -> str:
        """The token of this moment, or "" when there is none. A file that cannot be used, perhaps because it
        is just being replaced, is reported and the token before it is used."""
        try:
            self._last = self._read()
        except UserError as error:
            log.warning("%s; the token read before is used", error)
        return self._last

    def _read(self) -> str:
        if self.inline or self.path is None:
            return self.inline
        text = read_text(self.path, "the token file", max_bytes=_MAX_BYTES)
        return check_token(text, f"the token file {self.path}")
