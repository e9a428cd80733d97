"""The configuration of kumactl: control planes, contexts and which one is active (contract 9.7)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

from kumamesh.errors import UserError
from kumamesh.names import DEFAULT_MESH
from kumamesh.settings import suggestion

LOCAL_NAME = "local"
LOCAL_URL = "http://localhost:5681"
AUTH_TOKENS = "tokens"


@dataclass(frozen=True, slots=True)
class ControlPlane:
    """How to reach one control plane; header values and `auth_conf` may hold secrets."""

    name: str
    url: str
    ca_cert_file: str = ""
    skip_verify: bool = False
    client_cert_file: str = ""
    client_key_file: str = ""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    auth_type: str = ""
    auth_conf: Mapping[str, str] = field(default_factory=dict, repr=False)

    def request_headers(self) -> dict[str, str]:
        """What every request carries; raises UserError for an authentication that is not known."""
        headers = dict(self.headers)
        if self.auth_type:
            if self.auth_type != AUTH_TOKENS:
                raise UserError(
                    f'the control plane "{self.name}" has the unknown authentication type '
                    f'"{self.auth_type}"; add it again with --overwrite --auth-type={AUTH_TOKENS}'
                )
            headers["Authorization"] = f"Bearer {self.auth_conf.get('token', '')}"
        return headers


@dataclass(frozen=True, slots=True)
class Context:
    name: str
    control_plane: str
    mesh: str = ""


@dataclass(frozen=True, slots=True)
class Configuration:
    """All that kumactl remembers."""

    control_planes: tuple[ControlPlane, ...] = (ControlPlane(LOCAL_NAME, LOCAL_URL),)
    contexts: tuple[Context, ...] = (Context(LOCAL_NAME, LOCAL_NAME),)
    current_context: str = LOCAL_NAME

    def current(self) -> Context:
        """The active context; raises UserError when there is none."""
        for context in self.contexts:
            if context.name == self.current_context:
                return context
        raise UserError("there is no active Control Plane; use `kumactl config control-planes add`")

    def control_plane(self) -> ControlPlane:
        """The active control plane; raises UserError when there is none."""
        wanted = self.current().control_plane
        for control_plane in self.control_planes:
            if control_plane.name == wanted:
                return control_plane
        raise UserError(
            f'the active context refers to the Control Plane "{wanted}", which is not configured; '
            "use `kumactl config control-planes switch`"
        )

    def mesh(self) -> str:
        """The mesh of commands that name none."""
        return next(
            (c.mesh for c in self.contexts if c.name == self.current_context and c.mesh), DEFAULT_MESH
        )

    def add(self, control_plane: ControlPlane, *, overwrite: bool) -> Configuration:
        """With the control plane, and it active."""
        if not overwrite and any(known.name == control_plane.name for known in self.control_planes):
            raise UserError(
                f'Control Plane with name "{control_plane.name}" already exists. '
                "Use --overwrite to replace an existing one."
            )
        others = self._without(control_plane.name)
        return Configuration(
            (*others.control_planes, control_plane),
            (*others.contexts, Context(control_plane.name, control_plane.name)),
            control_plane.name,
        )

    def switch(self, name: str) -> Configuration:
        """With the control plane active."""
        self._require(name)
        context = next((c.name for c in self.contexts if c.control_plane == name), None)
        if context is not None:
            return replace(self, current_context=context)
        return replace(self, contexts=(*self.contexts, Context(name, name)), current_context=name)

    def remove(self, name: str) -> Configuration:
        """Without the control plane; if it was active, the first one left is."""
        self._require(name)
        left = self._without(name)
        if any(context.name == left.current_context for context in left.contexts):
            return left
        return replace(left, current_context=left.contexts[0].name if left.contexts else "")

    def _without(self, name: str) -> Configuration:
        return replace(
            self,
            control_planes=tuple(known for known in self.control_planes if known.name != name),
            contexts=tuple(context for context in self.contexts if context.control_plane != name),
        )

    def _require(self, name: str) -> None:
        names = [control_plane.name for control_plane in self.control_planes]
        if name not in names:
            raise UserError(f'there is no Control Plane with name "{name}"{suggestion(name, names)}')


def check_control_plane(control_plane: ControlPlane) -> None:
    """Raise UserError for an address or files that cannot work."""
    try:
        parts = urlsplit(control_plane.url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise UserError(
            f'the address "{control_plane.url}" is not valid; write it as http://host:5681 or https://host:5682'
        )
    if bool(control_plane.client_cert_file) != bool(control_plane.client_key_file):
        raise UserError("--client-cert-file and --client-key-file go together; give both")
    if control_plane.auth_type == AUTH_TOKENS and not control_plane.auth_conf.get("token"):
        raise UserError(f"--auth-type={AUTH_TOKENS} needs a token: --auth-conf token=VALUE")
    control_plane.request_headers()
