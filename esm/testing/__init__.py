"""What would Lambda do? Virtual time, simulated AWS and injected faults, for users' tests and the project's own."""
