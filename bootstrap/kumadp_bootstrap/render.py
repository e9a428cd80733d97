"""Parameters in, bootstrap out."""

from __future__ import annotations

from kumadp_bootstrap.egress import egress
from kumadp_bootstrap.ingress import ingress
from kumadp_bootstrap.params import BootstrapParams
from kumadp_bootstrap.sidecar import sidecar
from kumadp_bootstrap.yamltext import Document, dump

_RENDERERS = {"dataplane": sidecar, "ingress": ingress, "egress": egress}


def document(params: BootstrapParams) -> Document:
    """The bootstrap as JSON-able values with protobuf's own field names."""
    return _RENDERERS[params.proxy_type](params)


def render(params: BootstrapParams) -> str:
    """The bootstrap as canonical YAML."""
    return dump(document(params))
