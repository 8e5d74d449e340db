"""The environment in which Glue scripts run (Python with an engine), for tests that need its interpreter without a lake.

Made once below `$MILLPOND_ENVIRONMENTS` (else `target/environments`), by the list of packages that the server uses; another list makes another one.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
PACKAGES = REPO / "crates" / "millpond-scripts" / "python"


def scripts_python(engine="sail"):
    """The interpreter of the environment of an engine (`sail`, `pyspark`, ...: there is a `requirements-*.txt` for each)."""
    requirements = PACKAGES / f"requirements-{engine}.txt"
    directory = Path(os.environ.get("MILLPOND_ENVIRONMENTS") or REPO / "target" / "environments")
    directory.mkdir(parents=True, exist_ok=True)
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    name = f"tests-{engine}-python{version}-{hashlib.sha256(requirements.read_bytes()).hexdigest()[:12]}"
    place = directory / name
    program = place / "bin" / "python"
    with open(directory / f"{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (place / "whole").exists():
            shutil.rmtree(place, ignore_errors=True)
            subprocess.run([sys.executable, "-m", "venv", place], check=True)
            subprocess.run([program, "-m", "pip", "install", "-q", "--disable-pip-version-check", "-r", requirements], check=True)
            (place / "whole").touch()
    return program


def scripts_environment():
    """Variables for a process of that interpreter: our packages on its path, and nothing of the developer's own AWS."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "SPARK_", "PYSPARK_", "MILLPOND_"))}
    return {**kept, "PYTHONPATH": str(PACKAGES), "RUST_LOG": "error", "PYTHONWARNINGS": "ignore"}
