"""Runs the machines: the only room with task groups."""
