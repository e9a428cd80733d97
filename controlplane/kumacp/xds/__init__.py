"""From resources to the Envoy configuration of each connected proxy. Pure, except server.py."""
