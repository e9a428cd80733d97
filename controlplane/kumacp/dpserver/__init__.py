"""The data-plane server: admits proxies, sends them their configuration, keeps book of them (contract 3)."""
