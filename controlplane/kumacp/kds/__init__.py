"""KDS: what a global control plane and its zones tell each other (contract 8)."""
