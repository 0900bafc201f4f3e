"""What a finished run or capture is turned into: schemas and texts. Never starts a process."""
