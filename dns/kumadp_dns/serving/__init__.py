"""Sockets, and the process that answers."""
