"""Files in and out: scans, results, checkpoints, maps."""
