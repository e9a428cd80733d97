"""Which policies decide on a connection, and what they decide (kuma-cp 2.10, 2.11; contract 5.6)."""
