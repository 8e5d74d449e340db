"""`SELECT 1`: from StartQueryExecution until SUCCEEDED is seen, one client that asks again at once; and how often it asks."""

import time

from common import new_lake

AIM_MS = 10
ENDS = ("SUCCEEDED", "FAILED", "CANCELLED")


def once(athena):
    began = time.perf_counter()
    query_id = athena.start_query_execution(QueryString="SELECT 1")["QueryExecutionId"]
    looks = 1
    while (status := athena.get_query_execution(QueryExecutionId=query_id)["QueryExecution"])["Status"]["State"] not in ENDS:
        looks += 1
    took = time.perf_counter() - began
    assert status["Status"]["State"] == "SUCCEEDED", status
    return took, status["Statistics"]["TotalExecutionTimeInMillis"], looks


def latency(report, queries=500):
    import harness

    lake = new_lake("")
    try:
        athena = lake.client("athena")
        for _ in range(20):
            once(athena)
        times, served, looks = zip(*[once(athena) for _ in range(queries)])
        times, served = sorted(times), sorted(served)
        for name, place in (("p50", 0.5), ("p99", 0.99)):
            aim = f"; aim: at most {AIM_MS} ms" if name == "p50" else ""
            at = int(queries * place)
            report.add(f"SELECT 1, start to SUCCEEDED, {name} of {queries}", f"{times[at] * 1e3:.1f} ms", f"{served[at]} ms in the server{aim}")
        # A client that sleeps between two looks notices each but the first.
        report.add(f"SELECT 1, looks until SUCCEEDED is seen, of {queries}", f"{sum(looks) / queries:.2f}", f"at the most {max(looks)}")
    finally:
        harness.discard(lake)
