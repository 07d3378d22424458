"""Event filtering: patterns, what they match, and what a pattern sees of each source's record. Pure."""
