"""What may keep mappings from running well, found out before they run: credentials, permissions, sources, settings."""
