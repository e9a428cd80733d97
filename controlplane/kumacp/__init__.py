"""The bundled control plane."""
