"""What the library does, on real data and a local AWS, in half a minute: `make demo`."""
