"""Tracing and faults in the program's own process, on Syscall User Dispatch: switched on and off, and nothing left behind."""
