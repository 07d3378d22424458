"""The past, run again: traffic is recorded into files, and recordings go through the machine as live records do."""
