"""Global's side: who may join, what it knows of its zones."""
