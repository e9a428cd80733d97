"""Parameters to an Envoy bootstrap, and the rewrite that puts the agent's relay in its path. Pure."""
