"""Transforms of patterns in explicit vector code: sizes without a prime factor above 7."""
