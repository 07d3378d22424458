"""A recording under other settings, in virtual time: what it would have taken, and what it would have cost."""
