"""A campaign against s3fd: damaged files, odd arguments, kills, full disks, crowds of threads.

Each case has to end in a right answer, or in one clear line that says what is wrong with what. The
command exits with 1 if one does not, and ``python tests/torture CAMPAIGN --case N`` does it again.
"""

import argparse
import os
import sys
from importlib import import_module
from pathlib import Path

from campaign import run_campaign, run_here, table, work
from judge import PATIENCE

CAMPAIGNS = ("photos", "labels", "checkpoints", "operators", "kills", "places", "crowd", "hours")


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests/torture", description=__doc__.splitlines()[0])
    parser.add_argument("campaigns", nargs="*", metavar="CAMPAIGN", help=", ".join(CAMPAIGNS))
    parser.add_argument("--quick", action="store_true", help="a few minutes in place of an hour")
    parser.add_argument("--size", type=float, default=1.0, help="so many times as many cases")
    parser.add_argument("--seed", type=int, default=0, help="other cases")
    parser.add_argument("--patience", type=float, default=1.0, help="so many times as much time")
    parser.add_argument("--case", type=int, help="this one alone, in this process")
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--cases", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if unknown := set(given.campaigns) - set(CAMPAIGNS):
        parser.error(f"expected {', '.join(CAMPAIGNS)}, got {', '.join(sorted(unknown))}")
    os.environ.setdefault(PATIENCE, str(given.patience))
    if given.worker is not None:
        first, stop = map(int, given.cases.split(":"))
        work(given.campaigns[0], range(first, stop), seed=given.seed, folder=given.worker)
    if given.case is not None:
        run_here(given.campaigns[0], given.case, seed=given.seed)
        return 0
    tallies = []
    for name in given.campaigns or CAMPAIGNS:
        module = import_module(name)
        count = module.QUICK if given.quick else module.CASES
        cases = range(max(1, round(count * given.size)))
        tallies.append(run_campaign(name, cases, seed=given.seed))
        print(table(tallies[-1:]), flush=True)
        if tallies[-1].interrupted:
            break
    print()
    print(table(tallies))
    return 1 if any(tally.faults for tally in tallies) else 0


if __name__ == "__main__":
    sys.exit(main())
