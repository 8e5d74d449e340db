"""`millpond demo`: works twice in a row, in a new directory each time, and says how to go on."""

import subprocess

from harness import Lake, binary


def demo(folder, *args):
    return subprocess.run([binary(), "demo", *args], capture_output=True, text=True, cwd=folder, timeout=280)


def test_the_demo_shows_the_whole_path_twice_in_a_row(tmp_path):
    for name in ("millpond-demo", "millpond-demo-2"):
        done = demo(tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr
        assert (tmp_path / name / "lake.sqlite3").exists()
        for words in ("13 objects to s3://raw/", "processed.flights was found", "336,776 rows", "0 quarantined", "To: ops@example.com", "JetBlue Airways", "How to go on"):
            assert words in done.stdout, f"{words!r} is missing:\n{done.stdout}"
        assert "\x1b" not in done.stdout, "colours are for terminals"
    lake = Lake(tmp_path / "millpond-demo").start()
    try:
        assert lake.scalar("select count(*) from processed.flights") == "336776"
        assert lake.scalar("select count(*) from processed.flights where month = 2") == "24951"
        assert lake.sql("select sum(distance), count(dep_time), count(distinct dest) from processed.flights") == [["350217607", "328521", "105"]]
    finally:
        lake.stop()
    again = demo(tmp_path, "--data", str(tmp_path / "millpond-demo"))
    assert again.returncode == 0, again.stdout + again.stderr
    lake = Lake(tmp_path / "millpond-demo").start()
    try:
        assert lake.scalar("select count(*) from processed.flights") == "336776", "the same files must not count twice"
    finally:
        lake.stop()
