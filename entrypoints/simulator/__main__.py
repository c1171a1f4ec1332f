"""`python -m entrypoints.simulator`: see `serving.main`."""

import sys

from entrypoints.simulator.serving import main

sys.exit(main(sys.argv[1:]))
