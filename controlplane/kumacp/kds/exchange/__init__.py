"""Both ends of a sync stream, the same at zones and at global."""
