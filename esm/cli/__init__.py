"""The command line: `esm run`, `esm plan`, `esm positions`, `esm version`. Needs the extra `cli`."""
