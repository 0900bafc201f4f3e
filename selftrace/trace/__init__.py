"""What is to be seen of a program, and what is to be done to it: strace's expressions."""
