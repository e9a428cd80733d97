from google.protobuf import wrappers_pb2 as _wrappers_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Secret(_message.Message):
    __slots__ = ("data",)
    DATA_FIELD_NUMBER: _ClassVar[int]
    data: _wrappers_pb2.BytesValue
    def __init__(self, data: _Optional[_Union[_wrappers_pb2.BytesValue, _Mapping]] = ...) -> None: ...

class Config(_message.Message):
    __slots__ = ("config",)
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    config: str
    def __init__(self, config: _Optional[str] = ...) -> None: ...

class DataSource(_message.Message):
    __slots__ = ("secret", "file", "inline", "inlineString")
    SECRET_FIELD_NUMBER: _ClassVar[int]
    FILE_FIELD_NUMBER: _ClassVar[int]
    INLINE_FIELD_NUMBER: _ClassVar[int]
    INLINESTRING_FIELD_NUMBER: _ClassVar[int]
    secret: str
    file: str
    inline: _wrappers_pb2.BytesValue
    inlineString: str
    def __init__(self, secret: _Optional[str] = ..., file: _Optional[str] = ..., inline: _Optional[_Union[_wrappers_pb2.BytesValue, _Mapping]] = ..., inlineString: _Optional[str] = ...) -> None: ...
