"""`python -m kumadp` is `kuma-dp`."""

from kumadp.cli import main

main()
