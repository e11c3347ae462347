"""Groups' clocks: what renewals cost, timestamps in a process, and calls of them over gRPC."""

import shutil
import statistics
import subprocess
import sys

from service import CONNECTIONS, STREAMS, check_call, framed, load, varint
from tools import run, table, thousands, wait_for

NEXT = "/cadastre.v1.Timestamps/Next"
BATCHES = (1, 100, 10_000)
GROUP = 7


def timestamps(cadastre, log_bench, work, results, quick, runs):
    """Renewals of 100,000 groups, clocks in a process, and `Timestamps.Next` under h2load."""
    lines = run(log_bench, "regions", *(["--quick"] if quick else []), "--folder", work / "regions")
    results["regions"] = lines
    table("Groups that one node leads: what their renewals cost",
          ["led in", "entries a second", "bytes each", "of a core"],
          [[f"{line['leads']:,} steps", f"{line['rate']:.2f}", f"{line['bytes_each']:,}",
            f"{line['cpu_percent_of_a_core']:.2f} %"]
           for line in lines if line["bench"] == "region.renewal"])
    if not shutil.which("h2load"):
        return print("no h2load on the PATH: calls are left out", file=sys.stderr)
    file = work / "address"
    run(cadastre, "init", work / "node", "--member", "bench", "--region", "bench", "--json")
    rows = []
    with subprocess.Popen(
            [cadastre, "serve", "--log", work / "node", "--member", "bench", "--region", "bench",
             "--lead-region", "bench", "--address-file", file, "--log-level", "error"],
            stdout=subprocess.DEVNULL) as node:
        try:
            address = wait_for(lambda: file.exists() and file.read_text().strip())
            wait_for(lambda: subprocess.run(
                [cadastre, "region", "lead", "1-1000", "--server", address],
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0)
            port = address.rsplit(":", 1)[1]
            for batch in BATCHES:
                body = work / f"next-{batch}"
                body.write_bytes(framed(b"\x08" + varint(GROUP) + b"\x10" + varint(batch)))
                check_call(port, NEXT, body)
                for _ in range(runs):
                    # One group has 65,536 timestamps a millisecond, and what its ceiling leaves ahead
                    # of that: beyond, its clock rightly issues nothing.
                    calls = min(20_000 if quick else 200_000, 40_000_000 // batch)
                    row = load(node, port, NEXT, body, calls)
                    row["batch"] = batch
                    row["timestamps_per_second"] = row["requests_per_second"] * batch
                    rows.append(row)
            # A refusal succeeds as far as h2load can tell: the leader must be one to the end.
            check_call(port, NEXT, body)
        finally:
            node.terminate()
    results["timestamps"] = rows

    def figure(name, batch):
        return thousands(statistics.median(row[name] for row in rows if row["batch"] == batch))

    table(f"Timestamps over gRPC: h2load, {CONNECTIONS} connections of {STREAMS} streams",
          ["timestamps a call", "calls a second", "timestamps a second", "calls per core-second"],
          [[f"{batch:,}", figure("requests_per_second", batch),
            figure("timestamps_per_second", batch), figure("requests_per_core_second", batch)]
           for batch in BATCHES])
