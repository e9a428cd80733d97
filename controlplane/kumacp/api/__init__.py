"""REST API of the control plane: CRUD, overviews, insights and tokens (contract 9; kuma-cp 8)."""
