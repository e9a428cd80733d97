"""The table of resources and the way of a record into a row and back; SQL that every database speaks."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, Column, DateTime, Dialect, MetaData, Row, Table, Text
from sqlalchemy.types import TypeDecorator

from kumacp.store.state import Record
from kumamesh.resource import Resource, ResourceKey
from kumamesh.resources.rest import spec_from_json, spec_to_json


class UtcDateTime(TypeDecorator[datetime]):
    """A moment in UTC, also where the database forgets the zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value.replace(tzinfo=UTC) if value is not None and value.tzinfo is None else value


metadata = MetaData()
resources = Table(
    "resources",
    metadata,
    Column("type", Text, primary_key=True),
    Column("mesh", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("labels", JSON, nullable=False),
    Column("spec", JSON, nullable=False),
    Column("creation_time", UtcDateTime, nullable=False),
    Column("modification_time", UtcDateTime, nullable=False),
    Column("owner_type", Text),
    Column("owner_mesh", Text),
    Column("owner_name", Text),
)


def to_row(record: Record) -> dict[str, Any]:
    resource, owner = record.resource, record.owner
    return {
        **resource.key._asdict(),
        "version": resource.version,
        "labels": dict(resource.labels),
        "spec": spec_to_json(resource.spec),
        "creation_time": resource.creation_time,
        "modification_time": resource.modification_time,
        "owner_type": owner and owner.type,
        "owner_mesh": owner and owner.mesh,
        "owner_name": owner and owner.name,
    }


def from_row(row: Row[Any]) -> Record:
    resource = Resource(
        key=ResourceKey(row.type, row.mesh, row.name),
        spec=spec_from_json(row.type, row.spec),
        labels=row.labels,
        creation_time=row.creation_time,
        modification_time=row.modification_time,
        version=row.version,
    )
    owner = ResourceKey(row.owner_type, row.owner_mesh, row.owner_name) if row.owner_type else None
    return Record(resource, owner)
