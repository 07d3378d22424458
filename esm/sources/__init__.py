"""Where records come from. Each file is one service's API and decides nothing."""
