"""`python -m ferrymq` is `ferrymq`."""

import sys

from .cli import main

sys.exit(main())
