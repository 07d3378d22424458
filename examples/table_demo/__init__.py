"""What the library makes of a table's changes, with a filter and with a tumbling window: `make demo-table`."""
