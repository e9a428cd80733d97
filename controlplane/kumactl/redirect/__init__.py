"""Applying the rules of `kumamesh.transparent_proxy` to this host: by which program, and back."""
