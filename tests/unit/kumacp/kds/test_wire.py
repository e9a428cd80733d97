"""Kuma's messages: field numbers, what protoc makes of the files, and that no field of a model is lost."""

from __future__ import annotations

import runpy
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, get_args, get_origin

import pytest
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

from kumacp.kds.protocol.catalog import FLOWS
from kumacp.kds.protocol.payload import MESSAGES
from kumacp.kds.wire import insight_pb2, kds_pb2, mesh_pb2, proxy_pb2, system_pb2
from kumamesh.resources.base import Spec
from kumamesh.resources.registry import TYPES

ROOT = Path(__file__).resolve().parents[4]
FACTS = Path(__file__).with_name("kuma_2_13_fields.txt")
OURS = {"kuma.mesh.v1alpha1.Dataplane.Networking.Inbound": ["  1000 protocol: string"]}
MODULES: tuple[ModuleType, ...] = (insight_pb2, kds_pb2, mesh_pb2, proxy_pb2, system_pb2)
_SCALARS = {
    value: name.removeprefix("TYPE_").lower()
    for name, value in vars(FieldDescriptor).items()
    if name.startswith("TYPE_")
}


def everything(module: ModuleType) -> Iterator[Descriptor | EnumDescriptor]:
    file = module.DESCRIPTOR
    yield from file.enum_types_by_name.values()
    for descriptor in file.message_types_by_name.values():
        yield from below(descriptor)


def below(descriptor: Descriptor) -> Iterator[Descriptor | EnumDescriptor]:
    if not descriptor.GetOptions().map_entry:
        yield descriptor
        yield from descriptor.enum_types
        for nested in descriptor.nested_types:
            yield from below(nested)


def kind(field: FieldDescriptor) -> str:
    named = field.message_type or field.enum_type
    if field.message_type and field.message_type.GetOptions().map_entry:
        key, value = (kind(item) for item in field.message_type.fields)
        return f"map<{key},{value}>"
    name = named.name if named else _SCALARS[field.type]
    return f"repeated {name}" if field.is_repeated else name


def lines(descriptor: Descriptor | EnumDescriptor) -> list[str]:
    if isinstance(descriptor, EnumDescriptor):
        return [f"  {value.number} {value.name}" for value in descriptor.values]
    fields = sorted(descriptor.fields, key=lambda field: field.number)
    return [f"  {field.number} {field.name}: {kind(field)}" for field in fields]


def test_every_field_has_the_number_and_type_that_kuma_gives_it() -> None:
    found = {item.full_name: lines(item) for module in MODULES for item in everything(module)}
    for name, added in OURS.items():
        assert found[name][-len(added) :] == added
        del found[name][-len(added) :]
    text = "".join(f"{name}\n" + "".join(f"{line}\n" for line in found[name]) for name in sorted(found))
    assert text == FACTS.read_text()


def test_generating_the_modules_again_gives_the_same(tmp_path: Path) -> None:
    generate = runpy.run_path(str(ROOT / "scripts" / "kds_protos.py"))["generate"]
    written = generate(tmp_path)
    assert len(written) == 2 * len(MODULES)
    for path in written:
        assert (tmp_path / path).read_text() == (ROOT / "controlplane" / path).read_text(), (
            f"{path} is not what its .proto file says: run scripts/kds_protos.py"
        )


def models(annotation: Any) -> Iterator[type[Spec]]:
    """The models that an annotation is made of."""
    if isinstance(annotation, type) and issubclass(annotation, Spec):
        yield annotation
    elif get_origin(annotation) is not None:
        for argument in get_args(annotation):
            yield from models(argument)


def differences(model: type[Spec], message: Descriptor) -> Iterator[str]:
    """Fields that only one of the two has."""
    fields = {field.json_name: field for field in message.fields}
    aliases = {str(info.serialization_alias or info.alias): info for info in model.model_fields.values()}
    yield from (f"{message.full_name}.{name}" for name in fields.keys() ^ aliases.keys())
    for name in fields.keys() & aliases.keys():
        nested = fields[name].message_type
        if nested is not None and nested.GetOptions().map_entry:
            nested = nested.fields_by_name["value"].message_type
        for child in models(aliases[name].annotation):
            yield from differences(child, nested)


FLOWING: Mapping[str, Any] = {
    name: type_ for name, type_ in TYPES.items() if FLOWS[name].to_some_zone or FLOWS[name].to_global
}


@pytest.mark.parametrize("type_", sorted(name for name in FLOWING if not TYPES[name].nested_spec))
def test_model_and_message_have_the_same_fields(type_: str) -> None:
    assert list(differences(TYPES[type_].spec, MESSAGES[type_].DESCRIPTOR)) == []


def test_every_type_that_is_a_message_flows() -> None:
    assert set(MESSAGES) == {name for name in FLOWING if not TYPES[name].nested_spec}
