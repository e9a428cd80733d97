"""The front of the data-plane server: one TLS port for gRPC and HTTP, in its own process (DESIGN.md 3.10)."""
