"""The way of the control plane to the admin endpoint of each proxy's Envoy (contract 3.7)."""
