"""What a function gave up is read again, handled again, and only then struck off."""
