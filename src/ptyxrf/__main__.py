"""``python -m ptyxrf``: the command."""

import sys

from ptyxrf.driver.command.main import main

sys.exit(main())
