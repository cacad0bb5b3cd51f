"""A program with workers: ``python worker_parent.py FUNCTIONS ARGUMENTS``; prints what their jobs report.

Each function, named with commas between, is a job on a device of its own; one function alone is two.

It has no ``if __name__ == "__main__"``: it would start itself again and again if workers ran it.
"""

import json
import sys
from contextlib import closing

from hasten.workflow.workers import Event, Job, run_jobs


def show(event: Event) -> None:
    if event.kind == "report":
        print(json.dumps(event.content), flush=True)


functions = sys.argv[1].split(",")
functions *= 2 if len(functions) == 1 else 1
jobs = [Job(f"job {n}", f"worker_jobs:{name}", json.loads(sys.argv[2])) for n, name in enumerate(functions)]
try:
    with closing(run_jobs(jobs, [f"cpu:{n}" for n in range(len(jobs))], show)) as outcomes:
        for outcome in outcomes:
            print(json.dumps([outcome.job.name, outcome.status, outcome.reason]), flush=True)
except KeyboardInterrupt:
    sys.exit(130)
