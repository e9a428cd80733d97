"""The front of the data-plane server: one TLS port for gRPC and HTTP, in a process of its own (DESIGN.md 3.10)."""
