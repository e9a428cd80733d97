"""What models of resources must obey beyond their types: Kuma's rules with Kuma's texts (kuma-cp 2)."""
