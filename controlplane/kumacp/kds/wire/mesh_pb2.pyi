import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf import wrappers_pb2 as _wrappers_pb2
from kumacp.kds.wire import system_pb2 as _system_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Mesh(_message.Message):
    __slots__ = ("mtls", "tracing", "logging", "metrics", "networking", "routing", "constraints", "skipCreatingInitialPolicies", "meshServices")
    class Mtls(_message.Message):
        __slots__ = ("enabledBackend", "backends", "skipValidation")
        ENABLEDBACKEND_FIELD_NUMBER: _ClassVar[int]
        BACKENDS_FIELD_NUMBER: _ClassVar[int]
        SKIPVALIDATION_FIELD_NUMBER: _ClassVar[int]
        enabledBackend: str
        backends: _containers.RepeatedCompositeFieldContainer[CertificateAuthorityBackend]
        skipValidation: bool
        def __init__(self, enabledBackend: _Optional[str] = ..., backends: _Optional[_Iterable[_Union[CertificateAuthorityBackend, _Mapping]]] = ..., skipValidation: _Optional[bool] = ...) -> None: ...
    class DataplaneProxyConstraints(_message.Message):
        __slots__ = ("requirements", "restrictions")
        class Rules(_message.Message):
            __slots__ = ("tags",)
            class TagsEntry(_message.Message):
                __slots__ = ("key", "value")
                KEY_FIELD_NUMBER: _ClassVar[int]
                VALUE_FIELD_NUMBER: _ClassVar[int]
                key: str
                value: str
                def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
            TAGS_FIELD_NUMBER: _ClassVar[int]
            tags: _containers.ScalarMap[str, str]
            def __init__(self, tags: _Optional[_Mapping[str, str]] = ...) -> None: ...
        REQUIREMENTS_FIELD_NUMBER: _ClassVar[int]
        RESTRICTIONS_FIELD_NUMBER: _ClassVar[int]
        requirements: _containers.RepeatedCompositeFieldContainer[Mesh.DataplaneProxyConstraints.Rules]
        restrictions: _containers.RepeatedCompositeFieldContainer[Mesh.DataplaneProxyConstraints.Rules]
        def __init__(self, requirements: _Optional[_Iterable[_Union[Mesh.DataplaneProxyConstraints.Rules, _Mapping]]] = ..., restrictions: _Optional[_Iterable[_Union[Mesh.DataplaneProxyConstraints.Rules, _Mapping]]] = ...) -> None: ...
    class Constraints(_message.Message):
        __slots__ = ("dataplaneProxy",)
        DATAPLANEPROXY_FIELD_NUMBER: _ClassVar[int]
        dataplaneProxy: Mesh.DataplaneProxyConstraints
        def __init__(self, dataplaneProxy: _Optional[_Union[Mesh.DataplaneProxyConstraints, _Mapping]] = ...) -> None: ...
    class MeshServices(_message.Message):
        __slots__ = ("mode",)
        class Mode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
            __slots__ = ()
            Disabled: _ClassVar[Mesh.MeshServices.Mode]
            Everywhere: _ClassVar[Mesh.MeshServices.Mode]
            ReachableBackends: _ClassVar[Mesh.MeshServices.Mode]
            Exclusive: _ClassVar[Mesh.MeshServices.Mode]
        Disabled: Mesh.MeshServices.Mode
        Everywhere: Mesh.MeshServices.Mode
        ReachableBackends: Mesh.MeshServices.Mode
        Exclusive: Mesh.MeshServices.Mode
        MODE_FIELD_NUMBER: _ClassVar[int]
        mode: Mesh.MeshServices.Mode
        def __init__(self, mode: _Optional[_Union[Mesh.MeshServices.Mode, str]] = ...) -> None: ...
    MTLS_FIELD_NUMBER: _ClassVar[int]
    TRACING_FIELD_NUMBER: _ClassVar[int]
    LOGGING_FIELD_NUMBER: _ClassVar[int]
    METRICS_FIELD_NUMBER: _ClassVar[int]
    NETWORKING_FIELD_NUMBER: _ClassVar[int]
    ROUTING_FIELD_NUMBER: _ClassVar[int]
    CONSTRAINTS_FIELD_NUMBER: _ClassVar[int]
    SKIPCREATINGINITIALPOLICIES_FIELD_NUMBER: _ClassVar[int]
    MESHSERVICES_FIELD_NUMBER: _ClassVar[int]
    mtls: Mesh.Mtls
    tracing: Tracing
    logging: Logging
    metrics: Metrics
    networking: Networking
    routing: Routing
    constraints: Mesh.Constraints
    skipCreatingInitialPolicies: _containers.RepeatedScalarFieldContainer[str]
    meshServices: Mesh.MeshServices
    def __init__(self, mtls: _Optional[_Union[Mesh.Mtls, _Mapping]] = ..., tracing: _Optional[_Union[Tracing, _Mapping]] = ..., logging: _Optional[_Union[Logging, _Mapping]] = ..., metrics: _Optional[_Union[Metrics, _Mapping]] = ..., networking: _Optional[_Union[Networking, _Mapping]] = ..., routing: _Optional[_Union[Routing, _Mapping]] = ..., constraints: _Optional[_Union[Mesh.Constraints, _Mapping]] = ..., skipCreatingInitialPolicies: _Optional[_Iterable[str]] = ..., meshServices: _Optional[_Union[Mesh.MeshServices, _Mapping]] = ...) -> None: ...

class CertificateAuthorityBackend(_message.Message):
    __slots__ = ("name", "type", "dpCert", "conf", "mode", "rootChain")
    class Mode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STRICT: _ClassVar[CertificateAuthorityBackend.Mode]
        PERMISSIVE: _ClassVar[CertificateAuthorityBackend.Mode]
    STRICT: CertificateAuthorityBackend.Mode
    PERMISSIVE: CertificateAuthorityBackend.Mode
    class DpCert(_message.Message):
        __slots__ = ("rotation", "requestTimeout")
        class Rotation(_message.Message):
            __slots__ = ("expiration",)
            EXPIRATION_FIELD_NUMBER: _ClassVar[int]
            expiration: str
            def __init__(self, expiration: _Optional[str] = ...) -> None: ...
        ROTATION_FIELD_NUMBER: _ClassVar[int]
        REQUESTTIMEOUT_FIELD_NUMBER: _ClassVar[int]
        rotation: CertificateAuthorityBackend.DpCert.Rotation
        requestTimeout: _duration_pb2.Duration
        def __init__(self, rotation: _Optional[_Union[CertificateAuthorityBackend.DpCert.Rotation, _Mapping]] = ..., requestTimeout: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...
    class RootChain(_message.Message):
        __slots__ = ("requestTimeout",)
        REQUESTTIMEOUT_FIELD_NUMBER: _ClassVar[int]
        requestTimeout: _duration_pb2.Duration
        def __init__(self, requestTimeout: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    DPCERT_FIELD_NUMBER: _ClassVar[int]
    CONF_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    ROOTCHAIN_FIELD_NUMBER: _ClassVar[int]
    name: str
    type: str
    dpCert: CertificateAuthorityBackend.DpCert
    conf: _struct_pb2.Struct
    mode: CertificateAuthorityBackend.Mode
    rootChain: CertificateAuthorityBackend.RootChain
    def __init__(self, name: _Optional[str] = ..., type: _Optional[str] = ..., dpCert: _Optional[_Union[CertificateAuthorityBackend.DpCert, _Mapping]] = ..., conf: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., mode: _Optional[_Union[CertificateAuthorityBackend.Mode, str]] = ..., rootChain: _Optional[_Union[CertificateAuthorityBackend.RootChain, _Mapping]] = ...) -> None: ...

class Networking(_message.Message):
    __slots__ = ("outbound",)
    class Outbound(_message.Message):
        __slots__ = ("passthrough",)
        PASSTHROUGH_FIELD_NUMBER: _ClassVar[int]
        passthrough: _wrappers_pb2.BoolValue
        def __init__(self, passthrough: _Optional[_Union[_wrappers_pb2.BoolValue, _Mapping]] = ...) -> None: ...
    OUTBOUND_FIELD_NUMBER: _ClassVar[int]
    outbound: Networking.Outbound
    def __init__(self, outbound: _Optional[_Union[Networking.Outbound, _Mapping]] = ...) -> None: ...

class Tracing(_message.Message):
    __slots__ = ("defaultBackend", "backends")
    DEFAULTBACKEND_FIELD_NUMBER: _ClassVar[int]
    BACKENDS_FIELD_NUMBER: _ClassVar[int]
    defaultBackend: str
    backends: _containers.RepeatedCompositeFieldContainer[TracingBackend]
    def __init__(self, defaultBackend: _Optional[str] = ..., backends: _Optional[_Iterable[_Union[TracingBackend, _Mapping]]] = ...) -> None: ...

class TracingBackend(_message.Message):
    __slots__ = ("name", "sampling", "type", "conf")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SAMPLING_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    CONF_FIELD_NUMBER: _ClassVar[int]
    name: str
    sampling: _wrappers_pb2.DoubleValue
    type: str
    conf: _struct_pb2.Struct
    def __init__(self, name: _Optional[str] = ..., sampling: _Optional[_Union[_wrappers_pb2.DoubleValue, _Mapping]] = ..., type: _Optional[str] = ..., conf: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ...) -> None: ...

class Logging(_message.Message):
    __slots__ = ("defaultBackend", "backends")
    DEFAULTBACKEND_FIELD_NUMBER: _ClassVar[int]
    BACKENDS_FIELD_NUMBER: _ClassVar[int]
    defaultBackend: str
    backends: _containers.RepeatedCompositeFieldContainer[LoggingBackend]
    def __init__(self, defaultBackend: _Optional[str] = ..., backends: _Optional[_Iterable[_Union[LoggingBackend, _Mapping]]] = ...) -> None: ...

class LoggingBackend(_message.Message):
    __slots__ = ("name", "format", "type", "conf")
    NAME_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    CONF_FIELD_NUMBER: _ClassVar[int]
    name: str
    format: str
    type: str
    conf: _struct_pb2.Struct
    def __init__(self, name: _Optional[str] = ..., format: _Optional[str] = ..., type: _Optional[str] = ..., conf: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ...) -> None: ...

class Routing(_message.Message):
    __slots__ = ("localityAwareLoadBalancing", "zoneEgress", "defaultForbidMeshExternalServiceAccess")
    LOCALITYAWARELOADBALANCING_FIELD_NUMBER: _ClassVar[int]
    ZONEEGRESS_FIELD_NUMBER: _ClassVar[int]
    DEFAULTFORBIDMESHEXTERNALSERVICEACCESS_FIELD_NUMBER: _ClassVar[int]
    localityAwareLoadBalancing: bool
    zoneEgress: bool
    defaultForbidMeshExternalServiceAccess: bool
    def __init__(self, localityAwareLoadBalancing: _Optional[bool] = ..., zoneEgress: _Optional[bool] = ..., defaultForbidMeshExternalServiceAccess: _Optional[bool] = ...) -> None: ...

class Metrics(_message.Message):
    __slots__ = ("enabledBackend", "backends")
    ENABLEDBACKEND_FIELD_NUMBER: _ClassVar[int]
    BACKENDS_FIELD_NUMBER: _ClassVar[int]
    enabledBackend: str
    backends: _containers.RepeatedCompositeFieldContainer[MetricsBackend]
    def __init__(self, enabledBackend: _Optional[str] = ..., backends: _Optional[_Iterable[_Union[MetricsBackend, _Mapping]]] = ...) -> None: ...

class MetricsBackend(_message.Message):
    __slots__ = ("name", "type", "conf")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    CONF_FIELD_NUMBER: _ClassVar[int]
    name: str
    type: str
    conf: _struct_pb2.Struct
    def __init__(self, name: _Optional[str] = ..., type: _Optional[str] = ..., conf: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ...) -> None: ...

class Selector(_message.Message):
    __slots__ = ("match",)
    class MatchEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    MATCH_FIELD_NUMBER: _ClassVar[int]
    match: _containers.ScalarMap[str, str]
    def __init__(self, match: _Optional[_Mapping[str, str]] = ...) -> None: ...

class TrafficPermission(_message.Message):
    __slots__ = ("sources", "destinations")
    SOURCES_FIELD_NUMBER: _ClassVar[int]
    DESTINATIONS_FIELD_NUMBER: _ClassVar[int]
    sources: _containers.RepeatedCompositeFieldContainer[Selector]
    destinations: _containers.RepeatedCompositeFieldContainer[Selector]
    def __init__(self, sources: _Optional[_Iterable[_Union[Selector, _Mapping]]] = ..., destinations: _Optional[_Iterable[_Union[Selector, _Mapping]]] = ...) -> None: ...

class ExternalService(_message.Message):
    __slots__ = ("networking", "tags")
    class Networking(_message.Message):
        __slots__ = ("address", "tls", "disableHostDNSEntry")
        class TLS(_message.Message):
            __slots__ = ("enabled", "ca_cert", "client_cert", "client_key", "allowRenegotiation", "server_name", "skipHostnameVerification")
            ENABLED_FIELD_NUMBER: _ClassVar[int]
            CA_CERT_FIELD_NUMBER: _ClassVar[int]
            CLIENT_CERT_FIELD_NUMBER: _ClassVar[int]
            CLIENT_KEY_FIELD_NUMBER: _ClassVar[int]
            ALLOWRENEGOTIATION_FIELD_NUMBER: _ClassVar[int]
            SERVER_NAME_FIELD_NUMBER: _ClassVar[int]
            SKIPHOSTNAMEVERIFICATION_FIELD_NUMBER: _ClassVar[int]
            enabled: bool
            ca_cert: _system_pb2.DataSource
            client_cert: _system_pb2.DataSource
            client_key: _system_pb2.DataSource
            allowRenegotiation: _wrappers_pb2.BoolValue
            server_name: _wrappers_pb2.StringValue
            skipHostnameVerification: _wrappers_pb2.BoolValue
            def __init__(self, enabled: _Optional[bool] = ..., ca_cert: _Optional[_Union[_system_pb2.DataSource, _Mapping]] = ..., client_cert: _Optional[_Union[_system_pb2.DataSource, _Mapping]] = ..., client_key: _Optional[_Union[_system_pb2.DataSource, _Mapping]] = ..., allowRenegotiation: _Optional[_Union[_wrappers_pb2.BoolValue, _Mapping]] = ..., server_name: _Optional[_Union[_wrappers_pb2.StringValue, _Mapping]] = ..., skipHostnameVerification: _Optional[_Union[_wrappers_pb2.BoolValue, _Mapping]] = ...) -> None: ...
        ADDRESS_FIELD_NUMBER: _ClassVar[int]
        TLS_FIELD_NUMBER: _ClassVar[int]
        DISABLEHOSTDNSENTRY_FIELD_NUMBER: _ClassVar[int]
        address: str
        tls: ExternalService.Networking.TLS
        disableHostDNSEntry: bool
        def __init__(self, address: _Optional[str] = ..., tls: _Optional[_Union[ExternalService.Networking.TLS, _Mapping]] = ..., disableHostDNSEntry: _Optional[bool] = ...) -> None: ...
    class TagsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    NETWORKING_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    networking: ExternalService.Networking
    tags: _containers.ScalarMap[str, str]
    def __init__(self, networking: _Optional[_Union[ExternalService.Networking, _Mapping]] = ..., tags: _Optional[_Mapping[str, str]] = ...) -> None: ...

class VirtualOutbound(_message.Message):
    __slots__ = ("selectors", "conf")
    class Conf(_message.Message):
        __slots__ = ("host", "port", "parameters")
        class TemplateParameter(_message.Message):
            __slots__ = ("name", "tag_key")
            NAME_FIELD_NUMBER: _ClassVar[int]
            TAG_KEY_FIELD_NUMBER: _ClassVar[int]
            name: str
            tag_key: str
            def __init__(self, name: _Optional[str] = ..., tag_key: _Optional[str] = ...) -> None: ...
        HOST_FIELD_NUMBER: _ClassVar[int]
        PORT_FIELD_NUMBER: _ClassVar[int]
        PARAMETERS_FIELD_NUMBER: _ClassVar[int]
        host: str
        port: str
        parameters: _containers.RepeatedCompositeFieldContainer[VirtualOutbound.Conf.TemplateParameter]
        def __init__(self, host: _Optional[str] = ..., port: _Optional[str] = ..., parameters: _Optional[_Iterable[_Union[VirtualOutbound.Conf.TemplateParameter, _Mapping]]] = ...) -> None: ...
    SELECTORS_FIELD_NUMBER: _ClassVar[int]
    CONF_FIELD_NUMBER: _ClassVar[int]
    selectors: _containers.RepeatedCompositeFieldContainer[Selector]
    conf: VirtualOutbound.Conf
    def __init__(self, selectors: _Optional[_Iterable[_Union[Selector, _Mapping]]] = ..., conf: _Optional[_Union[VirtualOutbound.Conf, _Mapping]] = ...) -> None: ...
