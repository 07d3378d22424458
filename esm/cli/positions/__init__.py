"""What `esm positions` does: how far shards have come is shown, moved, carried elsewhere."""
