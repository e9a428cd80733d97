import datetime

from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class DiscoverySubscription(_message.Message):
    __slots__ = ("id", "control_plane_instance_id", "connect_time", "disconnect_time", "status", "version", "generation")
    ID_FIELD_NUMBER: _ClassVar[int]
    CONTROL_PLANE_INSTANCE_ID_FIELD_NUMBER: _ClassVar[int]
    CONNECT_TIME_FIELD_NUMBER: _ClassVar[int]
    DISCONNECT_TIME_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    id: str
    control_plane_instance_id: str
    connect_time: _timestamp_pb2.Timestamp
    disconnect_time: _timestamp_pb2.Timestamp
    status: DiscoverySubscriptionStatus
    version: Version
    generation: int
    def __init__(self, id: _Optional[str] = ..., control_plane_instance_id: _Optional[str] = ..., connect_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., disconnect_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., status: _Optional[_Union[DiscoverySubscriptionStatus, _Mapping]] = ..., version: _Optional[_Union[Version, _Mapping]] = ..., generation: _Optional[int] = ...) -> None: ...

class DiscoverySubscriptionStatus(_message.Message):
    __slots__ = ("last_update_time", "total", "cds", "eds", "lds", "rds")
    LAST_UPDATE_TIME_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    CDS_FIELD_NUMBER: _ClassVar[int]
    EDS_FIELD_NUMBER: _ClassVar[int]
    LDS_FIELD_NUMBER: _ClassVar[int]
    RDS_FIELD_NUMBER: _ClassVar[int]
    last_update_time: _timestamp_pb2.Timestamp
    total: DiscoveryServiceStats
    cds: DiscoveryServiceStats
    eds: DiscoveryServiceStats
    lds: DiscoveryServiceStats
    rds: DiscoveryServiceStats
    def __init__(self, last_update_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., total: _Optional[_Union[DiscoveryServiceStats, _Mapping]] = ..., cds: _Optional[_Union[DiscoveryServiceStats, _Mapping]] = ..., eds: _Optional[_Union[DiscoveryServiceStats, _Mapping]] = ..., lds: _Optional[_Union[DiscoveryServiceStats, _Mapping]] = ..., rds: _Optional[_Union[DiscoveryServiceStats, _Mapping]] = ...) -> None: ...

class DiscoveryServiceStats(_message.Message):
    __slots__ = ("responses_sent", "responses_acknowledged", "responses_rejected")
    RESPONSES_SENT_FIELD_NUMBER: _ClassVar[int]
    RESPONSES_ACKNOWLEDGED_FIELD_NUMBER: _ClassVar[int]
    RESPONSES_REJECTED_FIELD_NUMBER: _ClassVar[int]
    responses_sent: int
    responses_acknowledged: int
    responses_rejected: int
    def __init__(self, responses_sent: _Optional[int] = ..., responses_acknowledged: _Optional[int] = ..., responses_rejected: _Optional[int] = ...) -> None: ...

class Version(_message.Message):
    __slots__ = ("kumaDp", "envoy", "dependencies")
    class DependenciesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    KUMADP_FIELD_NUMBER: _ClassVar[int]
    ENVOY_FIELD_NUMBER: _ClassVar[int]
    DEPENDENCIES_FIELD_NUMBER: _ClassVar[int]
    kumaDp: KumaDpVersion
    envoy: EnvoyVersion
    dependencies: _containers.ScalarMap[str, str]
    def __init__(self, kumaDp: _Optional[_Union[KumaDpVersion, _Mapping]] = ..., envoy: _Optional[_Union[EnvoyVersion, _Mapping]] = ..., dependencies: _Optional[_Mapping[str, str]] = ...) -> None: ...

class KumaDpVersion(_message.Message):
    __slots__ = ("version", "gitTag", "gitCommit", "buildDate", "kumaCpCompatible")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    GITTAG_FIELD_NUMBER: _ClassVar[int]
    GITCOMMIT_FIELD_NUMBER: _ClassVar[int]
    BUILDDATE_FIELD_NUMBER: _ClassVar[int]
    KUMACPCOMPATIBLE_FIELD_NUMBER: _ClassVar[int]
    version: str
    gitTag: str
    gitCommit: str
    buildDate: str
    kumaCpCompatible: bool
    def __init__(self, version: _Optional[str] = ..., gitTag: _Optional[str] = ..., gitCommit: _Optional[str] = ..., buildDate: _Optional[str] = ..., kumaCpCompatible: _Optional[bool] = ...) -> None: ...

class EnvoyVersion(_message.Message):
    __slots__ = ("version", "build", "kumaDpCompatible")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    BUILD_FIELD_NUMBER: _ClassVar[int]
    KUMADPCOMPATIBLE_FIELD_NUMBER: _ClassVar[int]
    version: str
    build: str
    kumaDpCompatible: bool
    def __init__(self, version: _Optional[str] = ..., build: _Optional[str] = ..., kumaDpCompatible: _Optional[bool] = ...) -> None: ...

class DataplaneInsight(_message.Message):
    __slots__ = ("subscriptions", "mTLS", "metadata")
    class MTLS(_message.Message):
        __slots__ = ("certificate_expiration_time", "last_certificate_regeneration", "certificate_regenerations", "issuedBackend", "supportedBackends")
        CERTIFICATE_EXPIRATION_TIME_FIELD_NUMBER: _ClassVar[int]
        LAST_CERTIFICATE_REGENERATION_FIELD_NUMBER: _ClassVar[int]
        CERTIFICATE_REGENERATIONS_FIELD_NUMBER: _ClassVar[int]
        ISSUEDBACKEND_FIELD_NUMBER: _ClassVar[int]
        SUPPORTEDBACKENDS_FIELD_NUMBER: _ClassVar[int]
        certificate_expiration_time: _timestamp_pb2.Timestamp
        last_certificate_regeneration: _timestamp_pb2.Timestamp
        certificate_regenerations: int
        issuedBackend: str
        supportedBackends: _containers.RepeatedScalarFieldContainer[str]
        def __init__(self, certificate_expiration_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., last_certificate_regeneration: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., certificate_regenerations: _Optional[int] = ..., issuedBackend: _Optional[str] = ..., supportedBackends: _Optional[_Iterable[str]] = ...) -> None: ...
    SUBSCRIPTIONS_FIELD_NUMBER: _ClassVar[int]
    MTLS_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    subscriptions: _containers.RepeatedCompositeFieldContainer[DiscoverySubscription]
    mTLS: DataplaneInsight.MTLS
    metadata: _struct_pb2.Struct
    def __init__(self, subscriptions: _Optional[_Iterable[_Union[DiscoverySubscription, _Mapping]]] = ..., mTLS: _Optional[_Union[DataplaneInsight.MTLS, _Mapping]] = ..., metadata: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ...) -> None: ...

class ZoneIngressInsight(_message.Message):
    __slots__ = ("subscriptions", "metadata")
    SUBSCRIPTIONS_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    subscriptions: _containers.RepeatedCompositeFieldContainer[DiscoverySubscription]
    metadata: _struct_pb2.Struct
    def __init__(self, subscriptions: _Optional[_Iterable[_Union[DiscoverySubscription, _Mapping]]] = ..., metadata: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ...) -> None: ...

class ZoneEgressInsight(_message.Message):
    __slots__ = ("subscriptions", "metadata")
    SUBSCRIPTIONS_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    subscriptions: _containers.RepeatedCompositeFieldContainer[DiscoverySubscription]
    metadata: _struct_pb2.Struct
    def __init__(self, subscriptions: _Optional[_Iterable[_Union[DiscoverySubscription, _Mapping]]] = ..., metadata: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ...) -> None: ...

class ServiceInsight(_message.Message):
    __slots__ = ("services",)
    class Service(_message.Message):
        __slots__ = ("status", "dataplanes", "issuedBackends", "serviceType", "addressPort", "zones")
        class Status(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
            __slots__ = ()
            none: _ClassVar[ServiceInsight.Service.Status]
            offline: _ClassVar[ServiceInsight.Service.Status]
            partially_degraded: _ClassVar[ServiceInsight.Service.Status]
            online: _ClassVar[ServiceInsight.Service.Status]
            not_available: _ClassVar[ServiceInsight.Service.Status]
        none: ServiceInsight.Service.Status
        offline: ServiceInsight.Service.Status
        partially_degraded: ServiceInsight.Service.Status
        online: ServiceInsight.Service.Status
        not_available: ServiceInsight.Service.Status
        class Type(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
            __slots__ = ()
            internal: _ClassVar[ServiceInsight.Service.Type]
            external: _ClassVar[ServiceInsight.Service.Type]
            gateway_delegated: _ClassVar[ServiceInsight.Service.Type]
            gateway_builtin: _ClassVar[ServiceInsight.Service.Type]
        internal: ServiceInsight.Service.Type
        external: ServiceInsight.Service.Type
        gateway_delegated: ServiceInsight.Service.Type
        gateway_builtin: ServiceInsight.Service.Type
        class DataplaneStat(_message.Message):
            __slots__ = ("total", "online", "offline")
            TOTAL_FIELD_NUMBER: _ClassVar[int]
            ONLINE_FIELD_NUMBER: _ClassVar[int]
            OFFLINE_FIELD_NUMBER: _ClassVar[int]
            total: int
            online: int
            offline: int
            def __init__(self, total: _Optional[int] = ..., online: _Optional[int] = ..., offline: _Optional[int] = ...) -> None: ...
        class IssuedBackendsEntry(_message.Message):
            __slots__ = ("key", "value")
            KEY_FIELD_NUMBER: _ClassVar[int]
            VALUE_FIELD_NUMBER: _ClassVar[int]
            key: str
            value: int
            def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
        STATUS_FIELD_NUMBER: _ClassVar[int]
        DATAPLANES_FIELD_NUMBER: _ClassVar[int]
        ISSUEDBACKENDS_FIELD_NUMBER: _ClassVar[int]
        SERVICETYPE_FIELD_NUMBER: _ClassVar[int]
        ADDRESSPORT_FIELD_NUMBER: _ClassVar[int]
        ZONES_FIELD_NUMBER: _ClassVar[int]
        status: ServiceInsight.Service.Status
        dataplanes: ServiceInsight.Service.DataplaneStat
        issuedBackends: _containers.ScalarMap[str, int]
        serviceType: ServiceInsight.Service.Type
        addressPort: str
        zones: _containers.RepeatedScalarFieldContainer[str]
        def __init__(self, status: _Optional[_Union[ServiceInsight.Service.Status, str]] = ..., dataplanes: _Optional[_Union[ServiceInsight.Service.DataplaneStat, _Mapping]] = ..., issuedBackends: _Optional[_Mapping[str, int]] = ..., serviceType: _Optional[_Union[ServiceInsight.Service.Type, str]] = ..., addressPort: _Optional[str] = ..., zones: _Optional[_Iterable[str]] = ...) -> None: ...
    class ServicesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: ServiceInsight.Service
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[ServiceInsight.Service, _Mapping]] = ...) -> None: ...
    SERVICES_FIELD_NUMBER: _ClassVar[int]
    services: _containers.MessageMap[str, ServiceInsight.Service]
    def __init__(self, services: _Optional[_Mapping[str, ServiceInsight.Service]] = ...) -> None: ...
