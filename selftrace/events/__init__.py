"""What tracees report: the ring's records."""
