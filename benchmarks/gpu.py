"""Whole check of ensembles on a CUDA device, nanowire networks and cultures, in less than ten minutes.

Both are compared with the processor first, and timed only if they agree, as `nanowire_gpu.py` and `culture_gpu.py` say.

    python benchmarks/gpu.py [--json] [--quick]

It ends with code 0 if both agree, 1 if not, and 77 where there is no device, with a message that says what is missing.
``--quick`` is of a size for numba's simulator: NUMBA_ENABLE_CUDASIM=1 python benchmarks/gpu.py --quick
"""

import argparse
import json
import time

import culture_gpu
import nanowire_gpu

LIMIT = 220.0  # s after which each of the two begins nothing new


def main() -> None:
    """Check, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one line of JSON instead of tables")
    parser.add_argument("--quick", action="store_true", help="a few small networks and cultures")
    chosen = parser.parse_args()
    begun = time.perf_counter()
    device = nanowire_gpu.device()
    quick = chosen.quick
    cultures = culture_gpu.check(*((2, 12, 0.002) if quick else (4096, 1000, 0.3)), LIMIT)
    if not chosen.json:
        culture_gpu.show(cultures)
        print(flush=True)
    nanowires = nanowire_gpu.check(*((2, 16, 2) if quick else (10_000, 500, 500)), LIMIT)
    agree = cultures["agrees"] and nanowires["agrees"]
    if chosen.json:
        seconds = time.perf_counter() - begun
        parts = {"nanowires": nanowires, "cultures": cultures}
        print(json.dumps({"benchmark": "gpu", "device": device, "agree": agree, "seconds": seconds} | parts))
    else:
        nanowire_gpu.show(nanowires)
    raise SystemExit(0 if agree else 1)


if __name__ == "__main__":
    main()
