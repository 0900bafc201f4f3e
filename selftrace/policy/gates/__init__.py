"""How each gate of POLICY.md is compiled: parts of the one compiler in policy/compile.py."""
