"""Connected proxies as the REST API sees them: what they have, and what their Envoys say."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from kumacp.dpserver.connection import Connection
from kumacp.envoyadmin.admin_client import AdminClient
from kumacp.envoyadmin.question import ProxyUnavailable, Question, Reply
from kumacp.envoyadmin.target import ConnectedProxy, host_of, target_of
from kumacp.xds.build.admin import ADMIN
from kumacp.xds.hub import Hub
from kumacp.xds.sidecar import InboundRbac
from kumamesh.resource import Resource, ResourceKey
from kumamesh.xds import LISTENER, XdsResource


class ProxiesDriver:
    """`connection` gives the stream of a proxy that has its configuration."""

    def __init__(
        self, hub: Hub, connection: Callable[[ResourceKey], Connection | None], client: AdminClient
    ) -> None:
        self._hub = hub
        self._connection = connection
        self._client = client

    async def ask(self, proxy: Resource, question: Question) -> Reply:
        """What the Envoy of the proxy answers; raises ProxyUnavailable, QuestionRefused."""
        connection = self._connection(proxy.key)
        if connection is None:
            raise ProxyUnavailable(
                "it is not connected to this control plane: start its kuma-dp, or ask the control plane that"
                " it is connected to"
            )
        listeners = self._hub.desired(proxy.key)[LISTENER]
        target = target_of(
            ConnectedProxy(
                node_id=connection.node_id,
                peer=host_of(connection.peer),
                admin_address=connection.metadata.admin_address,
                admin_port=connection.metadata.admin_port,
                address=proxy.spec.networking.address,
                has_listener=ADMIN in listeners,
            )
        )
        return await self._client.ask(target, question)

    def configuration(
        self, proxy: ResourceKey, permission: InboundRbac | None = None
    ) -> Mapping[str, Mapping[str, XdsResource]]:
        """What the proxy is sent, or would be if it were connected, if `permission` decided; raises
        ProxyUnavailable while nothing is known of it."""
        try:
            return self._hub.preview(proxy, permission)
        except KeyError:
            raise ProxyUnavailable(
                "it was stored just now, or its networking.address cannot be resolved: try again in a moment"
            ) from None
