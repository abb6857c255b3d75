"""The memory of this machine, which bounds what is taken at once."""

from __future__ import annotations

import os


def machine_memory() -> int:
    """Return the bytes of memory that this machine has, in use or not."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
