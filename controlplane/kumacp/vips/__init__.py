"""Virtual addresses of a mesh: which names there are, who has which address, and under what names and ports
a proxy finds them (kuma-cp 4, contract 6)."""
