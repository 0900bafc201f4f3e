"""Policies: reading, meaning, compiling, explaining. Probes no kernel itself and knows no backend."""
