"""Who reads which shard, and in which order shards may be read. Pure."""
