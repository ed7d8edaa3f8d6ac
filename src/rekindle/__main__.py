"""``python -m rekindle``: the command ``rekindle`` of this interpreter."""

import sys

from rekindle.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
