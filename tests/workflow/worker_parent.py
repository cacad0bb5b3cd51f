"""A program with workers: ``python worker_parent.py FUNCTION ARGUMENTS``; prints what their jobs report.

It has no ``if __name__ == "__main__"``: it would start itself again and again if workers ran it.
"""

import json
import sys
from contextlib import closing

from hasten.workflow.workers import Event, Job, run_jobs


def show(event: Event) -> None:
    if event.kind == "report":
        print(json.dumps(event.content), flush=True)


jobs = [Job(f"job {n}", f"worker_jobs:{sys.argv[1]}", json.loads(sys.argv[2])) for n in range(2)]
try:
    with closing(run_jobs(jobs, ["cpu:0", "cpu:1"], show)) as outcomes:
        for outcome in outcomes:
            print(json.dumps([outcome.job.name, outcome.status, outcome.reason]), flush=True)
except KeyboardInterrupt:
    sys.exit(130)
