"""From a scan to a result: the outer loop, its schedule, stops and checkpoints."""
