"""Functions: found by name, called as Lambda calls them, their answers taken apart."""
