"""Transparent proxying: its settings, and the rules that redirect a host's traffic, as text."""
