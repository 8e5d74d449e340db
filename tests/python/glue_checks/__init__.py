"""Checks of `awsglue` and `awsgluedq` that need an engine. They run in the environment of scripts, a process a module: `python -m glue_checks.frames`."""
