"""What a reconstruction takes on any number of ranks, without running it."""
