"""Keys and certificates that the control plane makes: CAs, workload identities, tokens, its own TLS."""
