"""The debugger's prompt: commands as they are typed, each a few lines on selftrace.ptrace.Tracee."""
