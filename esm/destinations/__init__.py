"""Where failure records go."""
