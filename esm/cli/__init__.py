"""The command line, `esm`: what is typed stands in `commands/`, what it does here. Needs the extra `cli`."""
