"""The mesh name server: table, query, forwarding, and the process that answers."""
