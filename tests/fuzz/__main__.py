"""``python -m tests.fuzz --minutes 5 --seed 1``: exit status 1 if anything was found."""

import argparse
import os
import sys

# A child is forked for each case: no library may start threads in this process. They read these
# when they are imported.
os.environ |= {
    "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1", "NUMBA_THREADING_LAYER": "workqueue", "CUDA_VISIBLE_DEVICES": "",
}  # fmt: skip
for name in [name for name in os.environ if name.startswith("RRTOOL_")]:
    del os.environ[name]

import gc  # noqa: E402
import shutil  # noqa: E402
import signal  # noqa: E402
import tempfile  # noqa: E402
from pathlib import Path  # noqa: E402

import torch  # noqa: E402

from tests.fuzz.campaign import Campaign, run_cases, write_case, write_report  # noqa: E402
from tests.fuzz.cases import KINDS  # noqa: E402
from tests.fuzz.child import Limits  # noqa: E402
from tests.fuzz.corpus import Corpus  # noqa: E402
from tests.fuzz.verdict import MINOR  # noqa: E402


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m tests.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0, help="how long, at most")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=sys.maxsize, help="how many cases, at most")
    parser.add_argument("--only", choices=KINDS, action="append", default=[], help="these kinds")
    parser.add_argument("--seconds", type=float, default=20.0, help="limit of a case")
    parser.add_argument("--replay", metavar="SEED:CASE", help="one case again; its files are kept")
    return parser.parse_args()


def main() -> int:
    """Run the fuzzer; returns the exit status."""
    given = _arguments()
    torch.set_num_threads(1)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # for a report of what there is
    memory = Path("/dev/shm")  # noqa: S108 - files of cases cost least there
    root = Path(tempfile.mkdtemp(prefix="fuzz-", dir=memory if memory.is_dir() else None))
    limits = Limits(given.seconds)
    corpus = Corpus(root, limits)
    gc.disable()
    if given.replay:
        seed, number = map(int, given.replay.split(":"))
        case, outcome, found = Campaign(corpus, seed, [], limits).try_one(number)
        write_case(case, outcome, found)
        print(f"files: {corpus.case}")
        return bool(found)
    try:
        tally = run_cases(Campaign(corpus, given.seed, given.only, limits), given.count,
                          60 * given.minutes)  # fmt: skip
    finally:
        shutil.rmtree(root, ignore_errors=True)
    write_report(tally, given.seed)
    return any(finding.what not in MINOR for finding in tally.findings)


if __name__ == "__main__":
    sys.exit(main())
