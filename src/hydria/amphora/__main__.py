"""``python -m hydria.amphora BOOT_DIR``."""

import sys
from pathlib import Path

from hydria.amphora import main

if len(sys.argv) != 2:
    sys.exit("usage: python -m hydria.amphora BOOT_DIR")
main(Path(sys.argv[1]))
