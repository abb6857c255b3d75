"""Inspection of scans and of the Hessian."""
