"""What `esm run` does: it works, shows how it goes, and ends in good order."""
