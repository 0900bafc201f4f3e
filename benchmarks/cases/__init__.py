"""One file for each question; each has NAME, UNIT and measure(tools) → {what: value}, the baseline first; or {thing: {what:
value}}, where each thing has a baseline of its own."""
