"""``python -m ptyxrf``: the command."""

import sys

from ptyxrf.driver.command import main

sys.exit(main())
