"""Simulated scans: specimens, probes, paths and noise."""
