"""What flows: records, pages of them, shards, and the positions between them. Pure values, no decisions."""
