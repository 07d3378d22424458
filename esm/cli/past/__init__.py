"""What is done with what was: recorded, replayed, redriven, tried under other settings."""
