"""What the user asks for: an event source mapping's settings, with AWS's defaults, limits and refusals. Pure."""
