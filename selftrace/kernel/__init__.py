"""The floor: what the kernel enforces, whatever the process does."""
