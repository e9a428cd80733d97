"""Proxies at the edge of a zone: what they carry of every mesh (contract 5.7, 5.8)."""
