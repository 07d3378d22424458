"""What operates workers from outside: probes, and checks before they start."""
