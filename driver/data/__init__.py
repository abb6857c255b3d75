"""Scans, results and their parts as values; nothing here reads a file or knows a solver."""
