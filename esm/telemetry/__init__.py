"""What happened, as values, and who is told."""
