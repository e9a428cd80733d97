"""The configuration file on disk: only its owner may read it, because it may hold tokens."""

from __future__ import annotations

from pathlib import Path

from kumactl.configuration import Configuration
from kumactl.configuration_document import from_document, to_document
from kumactl.private_files_disk import replace_files
from kumamesh.errors import UserError
from kumamesh.resources.yamldoc import dump_document, load_documents

DEFAULT_FILE = Path("~/.kumactl/config")


def load(path: Path) -> Configuration:
    """The file's configuration, the default one when there is no file; raises UserError."""
    try:
        text = path.expanduser().read_text(encoding="utf-8")
    except FileNotFoundError:
        return Configuration()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read the configuration file {path}: {_reason(error)}") from None
    documents = load_documents(text, str(path))
    if len(documents) > 1:
        raise UserError(f"the configuration file {path} must hold one document, not {len(documents)}")
    try:
        return from_document(documents[0]) if documents else Configuration()
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


def save(path: Path, configuration: Configuration) -> None:
    """Replace the file in one step, with mode 0600; raises UserError."""
    target = path.expanduser()
    text = dump_document(to_document(configuration))
    try:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        replace_files({target: text.encode()})
    except OSError as error:
        raise UserError(
            f"cannot write the configuration file {path}: {_reason(error)}; choose another with --config-file"
        ) from None


def _reason(error: Exception) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else "it is not UTF-8 text"
