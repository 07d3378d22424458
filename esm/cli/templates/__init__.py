"""Mappings out of a template's file, for the commands."""
