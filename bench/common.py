"""What the parts of the benchmark share: where things are, the table of figures, and a lake of the release build."""

import os
import sys
import tempfile
from pathlib import Path

BENCH = Path(__file__).resolve().parent
REPO = BENCH.parent
VENV = BENCH / ".venv"
DATA = BENCH / "data"
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", REPO / "target")) / "release"

# The harness of the tests starts the lakes here too.
sys.path.insert(0, str(REPO / "tests" / "python"))


class Report:
    """Lines of the table: what, figure, and how it compares."""

    def __init__(self):
        self.lines = []

    def add(self, what, figure, ratio=""):
        self.lines.append((what, figure, ratio))
        print(f"  {what:<58} {figure:>20}  {ratio}", flush=True)

    def markdown(self):
        rows = "\n".join(f"| {what} | {figure} | {ratio} |" for what, figure, ratio in self.lines)
        return f"| measured | figure | compared |\n|---|---:|---|\n{rows}"


def new_lake(config=""):
    os.environ["MILLPOND_BIN"] = str(TARGET / "millpond")
    import harness

    # Beside the data: on the disk, and not in memory as /tmp may be.
    DATA.mkdir(exist_ok=True)
    tempfile.tempdir = str(DATA)
    return harness.new_lake(config)
