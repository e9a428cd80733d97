import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import wrappers_pb2 as _wrappers_pb2
from kumacp.kds.wire import mesh_pb2 as _mesh_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class EnvoyAdmin(_message.Message):
    __slots__ = ("port",)
    PORT_FIELD_NUMBER: _ClassVar[int]
    port: int
    def __init__(self, port: _Optional[int] = ...) -> None: ...

class Dataplane(_message.Message):
    __slots__ = ("networking", "metrics", "probes")
    class Networking(_message.Message):
        __slots__ = ("inbound", "outbound", "gateway", "transparent_proxying", "address", "advertisedAddress", "admin")
        class Inbound(_message.Message):
            __slots__ = ("tags", "port", "servicePort", "address", "serviceAddress", "health", "serviceProbe", "state", "name", "protocol")
            class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
                __slots__ = ()
                Ready: _ClassVar[Dataplane.Networking.Inbound.State]
                NotReady: _ClassVar[Dataplane.Networking.Inbound.State]
                Ignored: _ClassVar[Dataplane.Networking.Inbound.State]
            Ready: Dataplane.Networking.Inbound.State
            NotReady: Dataplane.Networking.Inbound.State
            Ignored: Dataplane.Networking.Inbound.State
            class Health(_message.Message):
                __slots__ = ("ready",)
                READY_FIELD_NUMBER: _ClassVar[int]
                ready: bool
                def __init__(self, ready: _Optional[bool] = ...) -> None: ...
            class ServiceProbe(_message.Message):
                __slots__ = ("interval", "timeout", "unhealthy_threshold", "healthy_threshold", "tcp")
                class Tcp(_message.Message):
                    __slots__ = ()
                    def __init__(self) -> None: ...
                INTERVAL_FIELD_NUMBER: _ClassVar[int]
                TIMEOUT_FIELD_NUMBER: _ClassVar[int]
                UNHEALTHY_THRESHOLD_FIELD_NUMBER: _ClassVar[int]
                HEALTHY_THRESHOLD_FIELD_NUMBER: _ClassVar[int]
                TCP_FIELD_NUMBER: _ClassVar[int]
                interval: _duration_pb2.Duration
                timeout: _duration_pb2.Duration
                unhealthy_threshold: _wrappers_pb2.UInt32Value
                healthy_threshold: _wrappers_pb2.UInt32Value
                tcp: Dataplane.Networking.Inbound.ServiceProbe.Tcp
                def __init__(self, interval: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., timeout: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., unhealthy_threshold: _Optional[_Union[_wrappers_pb2.UInt32Value, _Mapping]] = ..., healthy_threshold: _Optional[_Union[_wrappers_pb2.UInt32Value, _Mapping]] = ..., tcp: _Optional[_Union[Dataplane.Networking.Inbound.ServiceProbe.Tcp, _Mapping]] = ...) -> None: ...
            class TagsEntry(_message.Message):
                __slots__ = ("key", "value")
                KEY_FIELD_NUMBER: _ClassVar[int]
                VALUE_FIELD_NUMBER: _ClassVar[int]
                key: str
                value: str
                def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
            TAGS_FIELD_NUMBER: _ClassVar[int]
            PORT_FIELD_NUMBER: _ClassVar[int]
            SERVICEPORT_FIELD_NUMBER: _ClassVar[int]
            ADDRESS_FIELD_NUMBER: _ClassVar[int]
            SERVICEADDRESS_FIELD_NUMBER: _ClassVar[int]
            HEALTH_FIELD_NUMBER: _ClassVar[int]
            SERVICEPROBE_FIELD_NUMBER: _ClassVar[int]
            STATE_FIELD_NUMBER: _ClassVar[int]
            NAME_FIELD_NUMBER: _ClassVar[int]
            PROTOCOL_FIELD_NUMBER: _ClassVar[int]
            tags: _containers.ScalarMap[str, str]
            port: int
            servicePort: int
            address: str
            serviceAddress: str
            health: Dataplane.Networking.Inbound.Health
            serviceProbe: Dataplane.Networking.Inbound.ServiceProbe
            state: Dataplane.Networking.Inbound.State
            name: str
            protocol: str
            def __init__(self, tags: _Optional[_Mapping[str, str]] = ..., port: _Optional[int] = ..., servicePort: _Optional[int] = ..., address: _Optional[str] = ..., serviceAddress: _Optional[str] = ..., health: _Optional[_Union[Dataplane.Networking.Inbound.Health, _Mapping]] = ..., serviceProbe: _Optional[_Union[Dataplane.Networking.Inbound.ServiceProbe, _Mapping]] = ..., state: _Optional[_Union[Dataplane.Networking.Inbound.State, str]] = ..., name: _Optional[str] = ..., protocol: _Optional[str] = ...) -> None: ...
        class Outbound(_message.Message):
            __slots__ = ("address", "port", "tags", "backendRef")
            class BackendRef(_message.Message):
                __slots__ = ("kind", "name", "port", "labels")
                class LabelsEntry(_message.Message):
                    __slots__ = ("key", "value")
                    KEY_FIELD_NUMBER: _ClassVar[int]
                    VALUE_FIELD_NUMBER: _ClassVar[int]
                    key: str
                    value: str
                    def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
                KIND_FIELD_NUMBER: _ClassVar[int]
                NAME_FIELD_NUMBER: _ClassVar[int]
                PORT_FIELD_NUMBER: _ClassVar[int]
                LABELS_FIELD_NUMBER: _ClassVar[int]
                kind: str
                name: str
                port: int
                labels: _containers.ScalarMap[str, str]
                def __init__(self, kind: _Optional[str] = ..., name: _Optional[str] = ..., port: _Optional[int] = ..., labels: _Optional[_Mapping[str, str]] = ...) -> None: ...
            class TagsEntry(_message.Message):
                __slots__ = ("key", "value")
                KEY_FIELD_NUMBER: _ClassVar[int]
                VALUE_FIELD_NUMBER: _ClassVar[int]
                key: str
                value: str
                def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
            ADDRESS_FIELD_NUMBER: _ClassVar[int]
            PORT_FIELD_NUMBER: _ClassVar[int]
            TAGS_FIELD_NUMBER: _ClassVar[int]
            BACKENDREF_FIELD_NUMBER: _ClassVar[int]
            address: str
            port: int
            tags: _containers.ScalarMap[str, str]
            backendRef: Dataplane.Networking.Outbound.BackendRef
            def __init__(self, address: _Optional[str] = ..., port: _Optional[int] = ..., tags: _Optional[_Mapping[str, str]] = ..., backendRef: _Optional[_Union[Dataplane.Networking.Outbound.BackendRef, _Mapping]] = ...) -> None: ...
        class Gateway(_message.Message):
            __slots__ = ("tags", "type")
            class GatewayType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
                __slots__ = ()
                DELEGATED: _ClassVar[Dataplane.Networking.Gateway.GatewayType]
                BUILTIN: _ClassVar[Dataplane.Networking.Gateway.GatewayType]
            DELEGATED: Dataplane.Networking.Gateway.GatewayType
            BUILTIN: Dataplane.Networking.Gateway.GatewayType
            class TagsEntry(_message.Message):
                __slots__ = ("key", "value")
                KEY_FIELD_NUMBER: _ClassVar[int]
                VALUE_FIELD_NUMBER: _ClassVar[int]
                key: str
                value: str
                def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
            TAGS_FIELD_NUMBER: _ClassVar[int]
            TYPE_FIELD_NUMBER: _ClassVar[int]
            tags: _containers.ScalarMap[str, str]
            type: Dataplane.Networking.Gateway.GatewayType
            def __init__(self, tags: _Optional[_Mapping[str, str]] = ..., type: _Optional[_Union[Dataplane.Networking.Gateway.GatewayType, str]] = ...) -> None: ...
        class TransparentProxying(_message.Message):
            __slots__ = ("redirect_port_inbound", "redirect_port_outbound", "direct_access_services", "reachable_services", "ip_family_mode", "reachable_backends")
            class IpFamilyMode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
                __slots__ = ()
                UnSpecified: _ClassVar[Dataplane.Networking.TransparentProxying.IpFamilyMode]
                DualStack: _ClassVar[Dataplane.Networking.TransparentProxying.IpFamilyMode]
                IPv4: _ClassVar[Dataplane.Networking.TransparentProxying.IpFamilyMode]
                IPv6: _ClassVar[Dataplane.Networking.TransparentProxying.IpFamilyMode]
            UnSpecified: Dataplane.Networking.TransparentProxying.IpFamilyMode
            DualStack: Dataplane.Networking.TransparentProxying.IpFamilyMode
            IPv4: Dataplane.Networking.TransparentProxying.IpFamilyMode
            IPv6: Dataplane.Networking.TransparentProxying.IpFamilyMode
            class ReachableBackendRef(_message.Message):
                __slots__ = ("kind", "name", "namespace", "port", "labels")
                class LabelsEntry(_message.Message):
                    __slots__ = ("key", "value")
                    KEY_FIELD_NUMBER: _ClassVar[int]
                    VALUE_FIELD_NUMBER: _ClassVar[int]
                    key: str
                    value: str
                    def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
                KIND_FIELD_NUMBER: _ClassVar[int]
                NAME_FIELD_NUMBER: _ClassVar[int]
                NAMESPACE_FIELD_NUMBER: _ClassVar[int]
                PORT_FIELD_NUMBER: _ClassVar[int]
                LABELS_FIELD_NUMBER: _ClassVar[int]
                kind: str
                name: str
                namespace: str
                port: _wrappers_pb2.UInt32Value
                labels: _containers.ScalarMap[str, str]
                def __init__(self, kind: _Optional[str] = ..., name: _Optional[str] = ..., namespace: _Optional[str] = ..., port: _Optional[_Union[_wrappers_pb2.UInt32Value, _Mapping]] = ..., labels: _Optional[_Mapping[str, str]] = ...) -> None: ...
            class ReachableBackends(_message.Message):
                __slots__ = ("refs",)
                REFS_FIELD_NUMBER: _ClassVar[int]
                refs: _containers.RepeatedCompositeFieldContainer[Dataplane.Networking.TransparentProxying.ReachableBackendRef]
                def __init__(self, refs: _Optional[_Iterable[_Union[Dataplane.Networking.TransparentProxying.ReachableBackendRef, _Mapping]]] = ...) -> None: ...
            REDIRECT_PORT_INBOUND_FIELD_NUMBER: _ClassVar[int]
            REDIRECT_PORT_OUTBOUND_FIELD_NUMBER: _ClassVar[int]
            DIRECT_ACCESS_SERVICES_FIELD_NUMBER: _ClassVar[int]
            REACHABLE_SERVICES_FIELD_NUMBER: _ClassVar[int]
            IP_FAMILY_MODE_FIELD_NUMBER: _ClassVar[int]
            REACHABLE_BACKENDS_FIELD_NUMBER: _ClassVar[int]
            redirect_port_inbound: int
            redirect_port_outbound: int
            direct_access_services: _containers.RepeatedScalarFieldContainer[str]
            reachable_services: _containers.RepeatedScalarFieldContainer[str]
            ip_family_mode: Dataplane.Networking.TransparentProxying.IpFamilyMode
            reachable_backends: Dataplane.Networking.TransparentProxying.ReachableBackends
            def __init__(self, redirect_port_inbound: _Optional[int] = ..., redirect_port_outbound: _Optional[int] = ..., direct_access_services: _Optional[_Iterable[str]] = ..., reachable_services: _Optional[_Iterable[str]] = ..., ip_family_mode: _Optional[_Union[Dataplane.Networking.TransparentProxying.IpFamilyMode, str]] = ..., reachable_backends: _Optional[_Union[Dataplane.Networking.TransparentProxying.ReachableBackends, _Mapping]] = ...) -> None: ...
        INBOUND_FIELD_NUMBER: _ClassVar[int]
        OUTBOUND_FIELD_NUMBER: _ClassVar[int]
        GATEWAY_FIELD_NUMBER: _ClassVar[int]
        TRANSPARENT_PROXYING_FIELD_NUMBER: _ClassVar[int]
        ADDRESS_FIELD_NUMBER: _ClassVar[int]
        ADVERTISEDADDRESS_FIELD_NUMBER: _ClassVar[int]
        ADMIN_FIELD_NUMBER: _ClassVar[int]
        inbound: _containers.RepeatedCompositeFieldContainer[Dataplane.Networking.Inbound]
        outbound: _containers.RepeatedCompositeFieldContainer[Dataplane.Networking.Outbound]
        gateway: Dataplane.Networking.Gateway
        transparent_proxying: Dataplane.Networking.TransparentProxying
        address: str
        advertisedAddress: str
        admin: EnvoyAdmin
        def __init__(self, inbound: _Optional[_Iterable[_Union[Dataplane.Networking.Inbound, _Mapping]]] = ..., outbound: _Optional[_Iterable[_Union[Dataplane.Networking.Outbound, _Mapping]]] = ..., gateway: _Optional[_Union[Dataplane.Networking.Gateway, _Mapping]] = ..., transparent_proxying: _Optional[_Union[Dataplane.Networking.TransparentProxying, _Mapping]] = ..., address: _Optional[str] = ..., advertisedAddress: _Optional[str] = ..., admin: _Optional[_Union[EnvoyAdmin, _Mapping]] = ...) -> None: ...
    class Probes(_message.Message):
        __slots__ = ("port", "endpoints")
        class Endpoint(_message.Message):
            __slots__ = ("inbound_port", "inbound_path", "path")
            INBOUND_PORT_FIELD_NUMBER: _ClassVar[int]
            INBOUND_PATH_FIELD_NUMBER: _ClassVar[int]
            PATH_FIELD_NUMBER: _ClassVar[int]
            inbound_port: int
            inbound_path: str
            path: str
            def __init__(self, inbound_port: _Optional[int] = ..., inbound_path: _Optional[str] = ..., path: _Optional[str] = ...) -> None: ...
        PORT_FIELD_NUMBER: _ClassVar[int]
        ENDPOINTS_FIELD_NUMBER: _ClassVar[int]
        port: int
        endpoints: _containers.RepeatedCompositeFieldContainer[Dataplane.Probes.Endpoint]
        def __init__(self, port: _Optional[int] = ..., endpoints: _Optional[_Iterable[_Union[Dataplane.Probes.Endpoint, _Mapping]]] = ...) -> None: ...
    NETWORKING_FIELD_NUMBER: _ClassVar[int]
    METRICS_FIELD_NUMBER: _ClassVar[int]
    PROBES_FIELD_NUMBER: _ClassVar[int]
    networking: Dataplane.Networking
    metrics: _mesh_pb2.MetricsBackend
    probes: Dataplane.Probes
    def __init__(self, networking: _Optional[_Union[Dataplane.Networking, _Mapping]] = ..., metrics: _Optional[_Union[_mesh_pb2.MetricsBackend, _Mapping]] = ..., probes: _Optional[_Union[Dataplane.Probes, _Mapping]] = ...) -> None: ...

class ZoneIngress(_message.Message):
    __slots__ = ("zone", "networking", "availableServices")
    class Networking(_message.Message):
        __slots__ = ("address", "advertisedAddress", "port", "advertisedPort", "admin")
        ADDRESS_FIELD_NUMBER: _ClassVar[int]
        ADVERTISEDADDRESS_FIELD_NUMBER: _ClassVar[int]
        PORT_FIELD_NUMBER: _ClassVar[int]
        ADVERTISEDPORT_FIELD_NUMBER: _ClassVar[int]
        ADMIN_FIELD_NUMBER: _ClassVar[int]
        address: str
        advertisedAddress: str
        port: int
        advertisedPort: int
        admin: EnvoyAdmin
        def __init__(self, address: _Optional[str] = ..., advertisedAddress: _Optional[str] = ..., port: _Optional[int] = ..., advertisedPort: _Optional[int] = ..., admin: _Optional[_Union[EnvoyAdmin, _Mapping]] = ...) -> None: ...
    class AvailableService(_message.Message):
        __slots__ = ("tags", "instances", "mesh", "externalService")
        class TagsEntry(_message.Message):
            __slots__ = ("key", "value")
            KEY_FIELD_NUMBER: _ClassVar[int]
            VALUE_FIELD_NUMBER: _ClassVar[int]
            key: str
            value: str
            def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
        TAGS_FIELD_NUMBER: _ClassVar[int]
        INSTANCES_FIELD_NUMBER: _ClassVar[int]
        MESH_FIELD_NUMBER: _ClassVar[int]
        EXTERNALSERVICE_FIELD_NUMBER: _ClassVar[int]
        tags: _containers.ScalarMap[str, str]
        instances: int
        mesh: str
        externalService: bool
        def __init__(self, tags: _Optional[_Mapping[str, str]] = ..., instances: _Optional[int] = ..., mesh: _Optional[str] = ..., externalService: _Optional[bool] = ...) -> None: ...
    ZONE_FIELD_NUMBER: _ClassVar[int]
    NETWORKING_FIELD_NUMBER: _ClassVar[int]
    AVAILABLESERVICES_FIELD_NUMBER: _ClassVar[int]
    zone: str
    networking: ZoneIngress.Networking
    availableServices: _containers.RepeatedCompositeFieldContainer[ZoneIngress.AvailableService]
    def __init__(self, zone: _Optional[str] = ..., networking: _Optional[_Union[ZoneIngress.Networking, _Mapping]] = ..., availableServices: _Optional[_Iterable[_Union[ZoneIngress.AvailableService, _Mapping]]] = ...) -> None: ...

class ZoneEgress(_message.Message):
    __slots__ = ("zone", "networking")
    class Networking(_message.Message):
        __slots__ = ("address", "port", "admin")
        ADDRESS_FIELD_NUMBER: _ClassVar[int]
        PORT_FIELD_NUMBER: _ClassVar[int]
        ADMIN_FIELD_NUMBER: _ClassVar[int]
        address: str
        port: int
        admin: EnvoyAdmin
        def __init__(self, address: _Optional[str] = ..., port: _Optional[int] = ..., admin: _Optional[_Union[EnvoyAdmin, _Mapping]] = ...) -> None: ...
    ZONE_FIELD_NUMBER: _ClassVar[int]
    NETWORKING_FIELD_NUMBER: _ClassVar[int]
    zone: str
    networking: ZoneEgress.Networking
    def __init__(self, zone: _Optional[str] = ..., networking: _Optional[_Union[ZoneEgress.Networking, _Mapping]] = ...) -> None: ...
