"""Where positions are kept."""
