"""`python -m orthanc_trio`: the same as the command `orthanc-trio`."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
