"""Brings the tables of a database to the form that this program knows."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from kumamesh.errors import UserError

_SCRIPTS = Path(__file__).parent / "migrations"


def migrate(connection: Connection, *, database: str) -> None:
    """Run what is missing, inside the connection's transaction; raises UserError for a newer schema."""
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    config.attributes["connection"] = connection
    present = set(MigrationContext.configure(connection).get_current_heads())
    newer = present - {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if newer:
        raise UserError(
            f"the database {database} was written by a newer kuma-cp (schema {', '.join(sorted(newer))}); run"
            " that version, or give this one another work directory with KUMA_GENERAL_WORK_DIR"
        )
    command.upgrade(config, "head")
