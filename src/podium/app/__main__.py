"""`python -m podium.app` is `podium`."""

import sys

from podium.app import main

sys.exit(main())
