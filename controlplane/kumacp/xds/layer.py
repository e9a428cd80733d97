"""What all proxies of equal sight have of the virtual addresses of their mesh: held once, for all of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from kumacp.xds.common import Common
from kumacp.xds.destinations import Destination
from kumacp.xds.facts import At
from kumacp.xds.name_table import NameTable
from kumacp.xds.proxy import Proxy, TouchedRecord, Unrecorded
from kumacp.xds.services import SharedDestinations
from kumacp.xds.sight import Sight, names_seen, vip_listeners
from kumacp.xds.units import Unit, UnitCache, UnitKey
from kumacp.xds.view import MeshView
from kumacp.xds.vips import VirtualPort
from kumamesh.xds import XdsResource


class Layer(Common[Proxy]):
    """It is there as long as it has `holders`."""

    def __init__(self, sight: Sight, units: UnitCache, shared: SharedDestinations) -> None:
        super().__init__()
        self.sight = sight
        self.holders = 0
        self._units = units
        self._shared = shared
        self._ports: dict[At, VirtualPort] = {}
        self._listeners: dict[UnitKey, Unit] = {}
        self._uses: dict[Destination, int] = {}
        self._names: NameTable | None = None

    def names(self, view: MeshView) -> NameTable:
        """Made once for all members, when one of them asks for it."""
        if self._names is None:
            self._names = names_seen(view, self.sight)
        return self._names

    def forget_names(self) -> None:
        """They are others now."""
        self._names = None

    def update(
        self, view: MeshView, changed: Iterable[At], touched: TouchedRecord
    ) -> tuple[Destination, ...]:
        """Ports of virtual addresses are new, others or gone. The destinations that are new with that are to
        be given to `reach`: not before those that stay are brought up to date."""
        uses: dict[Destination, int] = {}
        for at in changed:
            before, after = self._ports.get(at), view.vips.ports.get(at)
            if after is not None and not self.sight.sees(after):
                after = None
            for port, number in ((before, -1), (after, 1)):
                if port is not None:
                    destination = self.sight.destination(port)
                    uses[destination] = uses.get(destination, 0) + number
            self._replace(view, before, after, touched)
        return tuple(
            destination
            for destination, number in uses.items()
            if self._use(view, destination, number, touched)
        )

    def _use(self, view: MeshView, destination: Destination, number: int, touched: TouchedRecord) -> bool:
        """So many ports more lead there; whether those are the first. With the last one it goes."""
        before = self._uses.pop(destination, 0)
        if before + number:
            self._uses[destination] = before + number
        elif before:
            self._shared.unsubscribe(view.name, destination, self).drop(self, touched)
        return not before and number > 0

    def reach(self, view: MeshView, destinations: Iterable[Destination], touched: TouchedRecord) -> None:
        """Have what stands behind new destinations."""
        for destination in destinations:
            self._shared.subscribe(view, destination, self).put(self, touched)

    def refresh_service(self, view: MeshView, service: str, touched: TouchedRecord) -> None:
        """Listeners depend on how a service is spoken to."""
        for port in view.vips.leading_to(service):
            held = self._ports.get((port.address, port.port))
            if held == port:
                self._replace(view, held, port, touched)

    def release(self, mesh: str) -> None:
        """Nobody needs it any more."""
        for unit in self._listeners.values():
            self._units.release(unit)
        for destination in self._uses:
            self._shared.unsubscribe(mesh, destination, self)

    def _replace(
        self,
        view: MeshView,
        before: VirtualPort | None,
        after: VirtualPort | None,
        touched: TouchedRecord,
    ) -> None:
        """The listeners of one port of an address."""
        keys = set(self._keys(view, before))
        if before is not None:
            del self._ports[before.address, before.port]
        if after is not None:
            self._ports[after.address, after.port] = after
            for input_ in vip_listeners(view, self.sight, after):
                key = (input_.type_url, input_.name)
                unit = self._listeners[key] = self._units.replace(self._listeners.get(key), input_)
                self.put(unit, touched)
                keys.discard(key)
        for key in keys:
            self._units.release(self._listeners.pop(key))
            self.drop(key, touched)

    def _keys(self, view: MeshView, port: VirtualPort | None) -> Iterable[UnitKey]:
        if port is None:
            return ()
        return ((input_.type_url, input_.name) for input_ in vip_listeners(view, self.sight, port))


class Layers:
    """Those of all meshes that at least one connected proxy has."""

    def __init__(self, units: UnitCache, shared: SharedDestinations) -> None:
        self._units = units
        self._shared = shared
        self._layers: dict[str, dict[Sight, Layer]] = {}
        self._of: dict[Proxy, Layer] = {}

    def of(self, proxy: Proxy) -> Layer | None:
        return self._of.get(proxy)

    def of_mesh(self, mesh: str) -> Iterable[Layer]:
        return self._layers.get(mesh, {}).values()

    def join(self, view: MeshView, proxy: Proxy, sight: Sight, touched: TouchedRecord) -> Layer:
        """Have the proxy see this much, and no longer what it saw before."""
        known = self._of.get(proxy)
        if known is not None and known.sight == sight:
            return known
        layers = self._layers.setdefault(view.name, {})
        layer = layers.get(sight)
        if layer is None:
            layer = layers[sight] = Layer(sight, self._units, self._shared)
            layer.reach(view, layer.update(view, view.vips.ports, Unrecorded()), Unrecorded())
        proxy.lay_upon(layer.desired, touched)
        self._forget(proxy)
        layer.members.add(proxy)
        layer.holders += 1
        self._of[proxy] = layer
        return layer

    def leave(self, proxy: Proxy, touched: TouchedRecord) -> None:
        proxy.lay_upon({}, touched)
        self._forget(proxy)

    def freeze(self, proxy: Proxy) -> None:
        """The proxy keeps what it sees now, until it joins or leaves. What it keeps is not built anew if it
        sees that in another way then."""
        layer = self._of[proxy]
        kept: Mapping[str, dict[str, XdsResource]] = {
            type_url: dict(names) for type_url, names in layer.desired.items()
        }
        proxy.lay_upon(kept, Unrecorded())
        layer.members.discard(proxy)

    def part(self, proxy: Proxy) -> None:
        """The proxy keeps what it sees now, whatever becomes of it."""
        if proxy in self._of:
            self.freeze(proxy)
            self._forget(proxy)

    def _forget(self, proxy: Proxy) -> None:
        layer = self._of.pop(proxy, None)
        if layer is None:
            return
        layer.members.discard(proxy)
        layer.holders -= 1
        if not layer.holders:
            mesh = proxy.key.mesh
            layer.release(mesh)
            del self._layers[mesh][layer.sight]
            if not self._layers[mesh]:
                del self._layers[mesh]
