"""The zone's side: its connection to the global control plane."""
