"""Files of records on this machine: whole lines out of plain, gzip and zstd files, and recordings, read and written."""
