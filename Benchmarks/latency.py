"""What a caller waits for: an acknowledgement, and a lookup while somebody writes."""

import os
import pathlib
import shutil
import statistics
import subprocess
import sys

from tools import median, pick, ratios, run, table, thousands

ROOT = pathlib.Path(__file__).resolve().parent.parent


def acknowledgements(bench, work, results, quick, runs):
    """From a command to its durable acknowledgement, beside one commit of plain LMDB in C."""
    compiler = shutil.which("cc") or shutil.which("clang")
    program = work / "lmdb_append"
    if compiler:
        subprocess.run(
            [compiler, "-O2", "-o", program, ROOT / "Benchmarks/c/lmdb_append.c", "-llmdb"],
            check=True)
        run(bench, "append", "--folder", work / "append", "--keep", work / "entries.bin")
    else:
        print("no C compiler on the PATH: plain LMDB is left out", file=sys.stderr)
    ours, theirs = [], []
    size = ["--routes", 100_000 if quick else 1_000_000]
    for number in range(runs):
        ours.append(run(bench, "ack", *size, "--folder", work / "ack"))
        if compiler:
            theirs.append(run(program, work / "entries.bin", work / f"c-{number}", "single"))
            shutil.rmtree(work / f"c-{number}")
    results["acknowledgements"] = {"ours": ours, "lmdb": theirs}
    routes = pick(ours[0], bench="store.ack")["routes"]
    rows = [[f"a command over {routes:,} routes, from submission to acknowledgement", *(
        f"{median(ours, f, bench='store.ack') / 1000:.3f} ms" for f in ("p50_us", "p99_us"))]]
    if theirs:
        c = dict(bench="c.lmdb", batch=1)
        rows.append(["plain C on LMDB, one commit of the same bytes", *(
            f"{median(theirs, f, **c) / 1000:.3f} ms" for f in ("p50_us", "p99_us"))])
        rows.append(["ratio", *(
            f"{ratios([pick(r, bench='store.ack')[f] for r in ours], [pick(r, **c)[f] for r in theirs]):.2f}"
            for f in ("p50_us", "p99_us"))])
    table("One caller at a time", ["", "p50", "p99"], rows)


def readers(bench, work, results, quick):
    """A lookup's processor time, quiet and while a writer publishes, at 1 to n readers."""
    count = max(2, os.cpu_count() or 2)
    lines = run(bench, "readers", "--readers", count, "--routes", 100_000 if quick else 1_000_000,
                "--folder", work / "readers")
    results["readers"] = lines
    rows = []
    for number in range(1, count + 1):
        quiet, busy = ([line for line in lines if line["readers"] == number
                        and line["writing"] == writing] for writing in (0, 1))
        more = statistics.median(b["lookup_ns"] - q["lookup_ns"] for q, b in zip(quiet, busy))
        rows.append([
            number, f"{statistics.median(line['lookup_ns'] for line in quiet):.0f} ns",
            f"{statistics.median(line['lookup_ns'] for line in busy):.0f} ns", f"{more:+.0f} ns",
            thousands(statistics.median(line["versions"] / line["seconds"] for line in busy))])
    table("A lookup in the published state, processor time, while a writer publishes",
          ["readers", "quiet", "busy", "more", "versions/s"], rows)
