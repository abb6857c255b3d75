"""Minimisers of a function of a real vector; they know neither physics nor ranks."""
