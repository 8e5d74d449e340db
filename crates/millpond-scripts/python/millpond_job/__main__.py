"""`python -m millpond_job SCRIPT [ARGUMENT ...]`: runs the script as `__main__`, and ends with its exit code. See the README beside this package."""

import sys

from millpond_job.launch import main

main(sys.argv[1:])
