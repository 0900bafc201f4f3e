"""A policy from what a program was seen to do: observation, generaliser, TOML. TRACE.md's "Learning" is the specification."""
