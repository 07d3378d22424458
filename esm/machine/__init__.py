"""The event source mapping itself, as pure state machines that are told the time.

No IO, clock, randomness or logging here.
"""
