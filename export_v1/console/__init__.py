"""What both commands share on the way from a shell to their work and back."""
