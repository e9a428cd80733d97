"""Kuma's messages. The modules are made of the .proto files by scripts/kds_protos.py."""
