"""One program under each mechanism of this machine: what each costs, and whether the program does the same under it."""
