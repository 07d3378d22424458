"""What can be typed, one module for each command; what a command does stands beside this folder."""
