"""Runs a script of a Glue job: the launcher (`__main__`, `launch`), the engines (`engine`, `shims`), and the client of the run API (`run`)."""
