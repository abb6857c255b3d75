"""Readers of the files of other programs: one file for each format, and the list of them."""
