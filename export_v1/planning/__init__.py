"""What is asked for, and which signatures over which graphs the export gets."""
