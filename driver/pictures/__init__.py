"""Pictures of results and plans."""
