"""Where resources live: one contract, several stores."""
