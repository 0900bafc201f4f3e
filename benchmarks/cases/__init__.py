"""One file for each question; each has NAME, UNIT and measure(tools) → {what: value}, the baseline first."""
