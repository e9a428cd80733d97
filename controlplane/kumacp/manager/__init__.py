"""What a write means: rules against what is stored, what a resource brings with it, what may be deleted."""
