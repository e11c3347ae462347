#!/usr/bin/env python3
"""Runs the benchmarks, side by side with what they are compared with, in one run.

  Benchmarks/run.py [--quick] [--only PART] [--bin FOLDER]

PART is one of index (made keys, memory, splits), paths (real paths, and after a million splits),
large (ten million routes), log (appends, commands, replay), ack (one caller at a time), readers
(lookups while a writer publishes), history, long (a million versions), mirror, service (gRPC under
h2load, beside etcd), crowd (the same beside thousands of silent connections), start (whole processes,
beside etcd), watchers, timestamps, cluster (a shared log on etcd, beside plain puts; outages; catching
up). Real paths are those of Debian's Contents index, fetched once from apt's mirror into
.build/bench-cache; without it the sample of the tests takes its place, and the table says so.

Prints each command before it runs, then tables of medians over the runs, and writes all figures to
Benchmarks/results/latest.json. Each pair is measured in turn (A B A B …) and compared as a ratio, so
that a machine that slows down slows both. `make bench` builds what this needs and calls it.
"""

import argparse
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import latency
import paths
import service
import timestamps
from cluster import cluster_bench
from tools import (
    ask, median, milliseconds, pick, ratios, run, table, thousands, wait_for)

ROOT = pathlib.Path(__file__).resolve().parent.parent
RUNS = 3
PARTS = ["index", "paths", "large", "log", "ack", "readers", "history", "long", "mirror", "service",
         "crowd", "start", "watchers", "timestamps", "cluster"]


def lookups(bench, work, results, quick):
    size = ["--routes", 100_000] if quick else []
    rust = None
    if shutil.which("rustc"):
        rust = work / "btreemap"
        subprocess.run(
            ["rustc", "-O", ROOT / "Benchmarks/rust/btreemap.rs", "-o", rust], check=True)
    else:
        print("no rustc on the PATH: Rust's BTreeMap is left out", file=sys.stderr)
    ours, theirs = [], []
    for _ in range(RUNS):
        ours.append(run(bench, *size, "--write", work))
        if rust:
            theirs.append(run(rust, work / "keys.bin", work / "lookups.bin"))
    results["index"], results["rust"] = ours, theirs

    name = "lookup"
    rows = [[
        "Cadastre, built at once", *(
            f"{median(ours, figure, bench=name):.0f} ns"
            for figure in ("mean_ns", "median_ns", "p99_ns"))]]
    if theirs:
        rows.append([
            "Rust `BTreeMap<Box<[u8]>, _>`", *(
                f"{median(theirs, figure, bench='rust_btreemap_lookup'):.0f} ns"
                for figure in ("mean_ns", "median_ns", "p99_ns"))])
        rows.append(["ratio", *(
            f"{ratios([pick(r, bench=name)[f] for r in ours], [pick(r, bench='rust_btreemap_lookup')[f] for r in theirs]):.2f}"
            for f in ("mean_ns", "median_ns", "p99_ns"))])
    routes = pick(ours[0], bench="lookup")["routes"]
    table(f"Who owns this key? {routes:,} routes, keys of 12 to 40 bytes, random lookups",
          ["", "mean", "median", "p99"], rows)

    memory = pick(ours[0], bench="memory")
    retained = pick(ours[0], bench="retained_versions")
    table("Memory", ["", "bytes"], [
        [f"{routes:,} routes, all three indexes", thousands(memory["bytes"])],
        ["… by start key", thousands(memory["by_start"])],
        ["… by id", thousands(memory["by_id"])],
        ["… by group", thousands(memory["by_group"])],
        [f"{retained['versions']:,} retained versions, a random split each, more",
         thousands(retained["bytes"])],
    ])
    table("Changing the routes, all three indexes and the digest", ["", "mean", "median", "p99"], [
        ["one split, a version of its own", *(
            f"{median(ours, f, bench='split') / 1000:.1f} µs"
            for f in ("mean_ns", "median_ns", "p99_ns"))],
        ["1,000 splits in one version, each", *(
            f"{median(ours, f, bench='batch_split_1000') / d:.1f} µs"
            for f, d in (("mean_ns_per_split", 1e3), ("median_ns", 1e6), ("p99_ns", 1e6)))],
    ])


def log(bench, work, results, quick):
    program = work / "lmdb_append"
    compiler = shutil.which("cc") or shutil.which("clang")
    if compiler:
        subprocess.run(
            [compiler, "-O2", "-o", program, ROOT / "Benchmarks/c/lmdb_append.c", "-llmdb"], check=True)
    else:
        print("no C compiler on the PATH: plain LMDB is left out", file=sys.stderr)
    ours, theirs, same = [], [], []
    for number in range(RUNS):
        ours.append(run(
            bench, "append", "--folder", work / "append", "--keep", work / "entries.bin"))
        if compiler:
            theirs.append(run(program, work / "entries.bin", work / f"c-{number}"))
            shutil.rmtree(work / f"c-{number}")
            same.append(run(program, work / "entries.bin", work / f"c-{number}", "indexes"))
            shutil.rmtree(work / f"c-{number}")
    results["append"], results["lmdb"], results["lmdb_indexes"] = ours, theirs, same
    rows = []
    for batch in (1, 100, 1000):
        facts = dict(bench="log.append", batch=batch)
        row = [f"{batch:,} entries a commit",
               thousands(median(ours, "records_per_second", **facts)),
               f"{median(ours, 'p50_us', **facts) / 1000:.2f} ms",
               f"{median(ours, 'p99_us', **facts) / 1000:.2f} ms"]
        if theirs:
            for name, runs in (("c.lmdb", theirs), ("c.lmdb.indexes", same)):
                c = dict(bench=name, batch=batch)
                pairs = [[pick(r, **f)["records_per_second"] for r in rs]
                         for rs, f in ((ours, facts), (runs, c))]
                row += [thousands(median(runs, "records_per_second", **c)), f"{ratios(*pairs):.2f}"]
        rows.append(row)
    table("Durable appends, each commit synced", [
        "", "entries/s", "p50", "p99",
        *(["plain C on LMDB, the entries alone", "ratio", "… the same rows", "ratio"]
          if theirs else [])
    ], rows)

    size = ["--routes", 100_000, "--entries", 50_000] if quick else []
    submit = run(bench, "submit", *size, "--folder", work / "submit")
    results["submit"] = submit
    table("Commands, from submission to durable acknowledgement", ["", "commands/s", "p50", "p99"], [
        [f"{line['clients']:,} clients", thousands(line["commands_per_second"]),
         f"{line['p50_us'] / 1000:.2f} ms", f"{line['p99_us'] / 1000:.2f} ms"] for line in submit])

    replay = run(bench, "replay", *size, "--folder", work / "replay")
    results["replay"] = replay
    rows = []
    for shape in dict.fromkeys(line["shape"] for line in replay if "shape" in line):
        for what in ("replay", "rebuild", "verify"):
            rates = [line["events_per_second"] for line in replay
                     if line["bench"] == what and line["shape"] == shape]
            rows.append([f"{what}, {shape}", thousands(statistics.median(rates))])
    bootstrap = [line["routes_per_second"] for line in replay if line["bench"] == "replay.bootstrap"]
    rows.append(["replay of the bootstrap, routes", thousands(statistics.median(bootstrap))])
    table("Replay", ["", "events/s"], rows)


def history(bench, work, results, quick):
    """Checkpoints, starts, questions about the past, and an etcd with the same keys beside them."""
    size = ["--routes", 100_000, "--entries", 20_000] if quick else []
    ours = run(bench, "history", *size, "--folder", work / "history")
    results["history"] = ours
    theirs = []
    if shutil.which("etcd") and shutil.which("etcdctl"):
        theirs = run(
            sys.executable, ROOT / "Benchmarks/etcd/etcd_bench.py", work / "keys.bin", work / "etcd")
        results["etcd"] = theirs
    else:
        print("no etcd on the PATH: it is left out", file=sys.stderr)

    first = pick(ours, bench="checkpoint.first")
    later = [line for line in ours if line["bench"] == "checkpoint"]
    size = pick(ours, bench="history.bytes")
    rows = [
        [f"the first checkpoint of {first['routes']:,} routes", milliseconds(first["seconds"]),
         thousands(first["bytes"])],
        ["a checkpoint of 1,000 random splits",
         milliseconds(statistics.median(line["seconds"] for line in later)),
         thousands(statistics.median(line["bytes"] for line in later))],
        ["a version of a single split, in the log", "", thousands(size["log_bytes_per_version"])],
        ["… in the checkpoints, one every 1,000", "",
         thousands(size["checkpoint_bytes_per_version"])],
    ]
    table("Checkpoints", ["", "time", "bytes on disk"], rows)

    rows = []
    for line in ours:
        if line["bench"] == "asof.lookup":
            rows.append([f"the owner of a key, as of one of {line['versions']:,} versions",
                         f"{line['p50_us'] / 1000:.2f} ms", f"{line['p99_us'] / 1000:.2f} ms"])
        if line["bench"] == "diff":
            rows.append([f"what changed between two versions {line['versions_apart']:,} apart: "
                         f"{line['routes_changed']:,} routes", milliseconds(line["seconds"]), ""])
    table("Questions about the past", ["", "median", "p99"], rows)

    starts = [line["seconds"] for line in ours if line["bench"] == "start"]
    start = next(line for line in ours if line["bench"] == "start")
    rows = [["Cadastre, start to the first right answer",
             milliseconds(statistics.median(starts))]]
    for name, words in (("start", "etcd, start to the first right answer"),
                        ("snapshot_save", "etcd, snapshot save"),
                        ("snapshot_restore", "etcd, snapshot restore"),
                        ("start_restored", "etcd, start from the restored one")):
        seconds = [line["seconds"] for line in theirs if line["bench"] == f"etcd.{name}"]
        if seconds:
            rows.append([words, milliseconds(statistics.median(seconds))])
    table(f"Starts, {start['routes']:,} routes, {start['versions']:,} versions behind, "
          f"{start['tail']:,} of them after the newest checkpoint", ["", "time"], rows)

    scan, verify = pick(ours, bench="scan_sha256"), pick(ours, bench="verify")
    table(f"Verification of {verify['entries']:,} entries", ["", "time", "ratio"], [
        ["a plain scan with a SHA-256 of each", milliseconds(scan["seconds"]), ""],
        *([f"verify, {words}", milliseconds(line["seconds"]),
           f"{line['seconds'] / scan['seconds']:.1f}"]
          for words, line in (("the log alone", pick(ours, bench="verify.log")),
                              (f"with {verify['checkpoints']} checkpoints", verify)))])


def long_history(bench, work, results, quick):
    """The same questions of a history ten times as long."""
    size = ["--routes", 100_000, "--entries", 200_000] if quick else ["--entries", 1_000_000]
    ours = run(bench, "history", *size, "--folder", work / "long")
    results["long_history"] = ours
    lookup, start = pick(ours, bench="asof.lookup"), [l for l in ours if l["bench"] == "start"]
    scan, verify = pick(ours, bench="scan_sha256"), pick(ours, bench="verify")
    alone = pick(ours, bench="verify.log")
    table(f"{lookup['versions']:,} versions of history", ["", "time", "ratio"], [
        ["start to the first right answer",
         milliseconds(statistics.median(line["seconds"] for line in start)), ""],
        ["the owner of a key as of one of them, median", f"{lookup['p50_us'] / 1000:.2f} ms", ""],
        ["… p99", f"{lookup['p99_us'] / 1000:.2f} ms", ""],
        [f"a plain scan of {scan['entries']:,} entries with a SHA-256 of each",
         milliseconds(scan["seconds"]), ""],
        ["verify, the log alone", milliseconds(alone["seconds"]),
         f"{alone['seconds'] / scan['seconds']:.1f}"],
        [f"verify, with {verify['checkpoints']} checkpoints", milliseconds(verify["seconds"]),
         f"{verify['seconds'] / scan['seconds']:.1f}"],
    ])


def mirror(cadastre, work, results, quick):
    """A learner with an empty folder, over loopback, beside a copy of the same bytes with cp."""
    count, batches = (100_000, 5) if quick else (1_000_000, 20)
    names = [f"{number * 0x9E3779B97F4A7C15 % 2**64:016x}" for number in range(1, count + 1)]
    (work / "names").write_text("\n".join(names) + "\n")
    log = ["--log", work / "leader", "--json"]
    run(cadastre, "import", work / "names", "--every", "1", "--groups-by", "round-robin",
        "--groups", "1000", *log)
    for batch in range(batches):
        begin = batch * 1000
        run(cadastre, "split", *log, "--at",
            *(name + "/" for name in names[begin:begin + 1000]))
    rows = []
    with subprocess.Popen(
            [cadastre, "serve", "--log", work / "leader", "--address-file", work / "leader.address"],
            stderr=subprocess.DEVNULL) as leader:
        try:
            for number in range(RUNS):
                rows.append(mirror_once(cadastre, work, number))
        finally:
            leader.terminate()
    results["mirror"] = rows
    pairs = list(zip(*((row["rebuild_seconds"], row["copy_seconds"]) for row in rows)))
    table(f"A mirror of {rows[0]['routes']:,} routes, {rows[0]['entries']:,} entries, "
          f"{rows[0]['bytes']:,} bytes on disk",
          ["", "time", "ratio"], [
        ["cp and sync", milliseconds(statistics.median(pairs[1])), ""],
        ["a learner with an empty folder, until it has all, each entry proven and folded",
         milliseconds(statistics.median(pairs[0])), f"{ratios(*pairs):.1f}"]])


def mirror_once(cadastre, work, number):
    copy, learner = work / f"copy-{number}", work / f"learner-{number}"
    address_file = work / "leader.address"
    address = wait_for(lambda: address_file.exists() and address_file.read_text().strip())
    status = wait_for(lambda: ask(cadastre, address))
    begin = time.monotonic()
    copy.mkdir()
    subprocess.run(["cp", "--sparse=always", work / "leader" / "data.mdb", copy], check=True)
    subprocess.run(["sync", copy / "data.mdb"], check=True)
    copied = time.monotonic() - begin
    own = work / f"learner-{number}.address"
    begin = time.monotonic()
    with subprocess.Popen(
            [cadastre, "serve", "--log", learner, "--follow", address, "--address-file", own],
            stderr=subprocess.DEVNULL) as process:
        try:
            there = wait_for(lambda: own.exists() and own.read_text().strip())
            wait_for(lambda: (ask(cadastre, there) or {}).get("digest") == status["digest"])
            rebuilt = time.monotonic() - begin
        finally:
            process.terminate()
    size = (copy / "data.mdb").stat().st_blocks * 512
    shutil.rmtree(copy)
    shutil.rmtree(learner)
    return {"bench": "mirror", "routes": status["routes"], "entries": status["position"],
            "bytes": size,
            "copy_seconds": copied, "rebuild_seconds": rebuilt}


def watchers(cadastre, work, results, quick):
    """What watchers cost a node, and how soon they hear of a commit; the load is another process."""
    size = ["--routes", 10_000, "--commits", 50, "--idle", 2, "--backlog", 5_000] if quick else []
    lines = run(
        sys.executable, ROOT / "Benchmarks/watchers/watch_bench.py", cadastre, work / "watchers", *size)
    results["watchers"] = lines
    alone = pick(lines, bench="watchers", watchers=0)
    rows = []
    for line in lines:
        if line["bench"] != "watchers" or not line["watchers"]:
            continue
        count = line["watchers"]
        cpu = (line["cpu_us_per_commit"] - alone["cpu_us_per_commit"]) / count
        memory = max(0, line["memory_bytes"] - alone["memory_bytes"]) / count
        rows.append([
            f"{count:,} on {line['connections']:,} connection{'s'[:line['connections'] > 1]}",
            f"{memory / 1024:,.0f} KiB", f"{cpu:,.1f} µs",
            f"{line['idle_cores'] / count * 1e6:,.1f} µs/s",
            *(f"{line[figure] / 1000:,.2f} ms" for figure in (
                "acknowledged_p50_us", "received_p50_us", "received_p99_us",
                "after_commit_p50_us", "after_commit_p99_us"))])
    table("Watchers of one node, a commit at a time", [
        "", "memory each", "CPU a message", "CPU idle", "sent to acknowledged, p50",
        "sent to received, p50", "p99", "acknowledged to received, p50", "p99"], rows)
    rows = [[f"{line['versions']:,} versions, {line['messages']:,.0f} messages",
             thousands(line["versions_per_second"])]
            for line in lines if line["bench"] == "watcher.catch_up"]
    table("One watcher that has many versions to hear of", ["", "versions/s"], rows)


def machine():
    model = "unknown"
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    return {"cpu": model, "cores": os.cpu_count(), "load_before": os.getloadavg()[0]}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of the size, to try it out")
    parser.add_argument("--bin", type=pathlib.Path, default=ROOT / ".build/core-release/release",
                        help="where index-bench and log-bench are")
    parser.add_argument("--only", choices=PARTS,
                        help="one part; the other figures stay as they were")
    parser.add_argument("--cadastre", type=pathlib.Path, default=ROOT / ".build/release/cadastre",
                        help="the program, for what is measured between nodes; cluster-bench is beside it")
    arguments = parser.parse_args()
    folder = ROOT / "Benchmarks/results"
    path = folder / "latest.json"
    results = {}
    if arguments.only and path.exists():
        results = json.loads(path.read_text())
    stamp = {"machine": machine(), "date": time.strftime("%Y-%m-%d"), "quick": arguments.quick}
    if arguments.only:
        results.setdefault("parts", {})[arguments.only] = stamp
    else:
        results = stamp
    # Beside the build, so that the log is measured on the disk and not on a memory file system.
    work = pathlib.Path(tempfile.mkdtemp(prefix="bench.", dir=ROOT / ".build"))
    try:
        index_bench, log_bench = arguments.bin / "index-bench", arguments.bin / "log-bench"
        if arguments.only in (None, "index"):
            lookups(index_bench, work, results, arguments.quick)
        if arguments.only in (None, "paths"):
            paths.paths(index_bench, work, results, arguments.quick, RUNS)
        if arguments.only in (None, "large"):
            paths.ten_million(index_bench, work, results, arguments.quick)
        if arguments.only in (None, "ack"):
            latency.acknowledgements(log_bench, work, results, arguments.quick, RUNS)
        if arguments.only in (None, "readers"):
            latency.readers(log_bench, work, results, arguments.quick)
        if arguments.only in (None, "log"):
            log(log_bench, work, results, arguments.quick)
        if arguments.only in (None, "history"):
            # Whatever part came before may have left other keys there.
            run(index_bench, "--only", "nothing", "--write", work,
                *(["--routes", 100_000] if arguments.quick else []))
            history(log_bench, work, results, arguments.quick)
        if arguments.only in (None, "long"):
            long_history(log_bench, work, results, arguments.quick)
        if arguments.only in (None, "mirror"):
            mirror(arguments.cadastre, work, results, arguments.quick)
        for name, part in (("service", service.service), ("crowd", service.crowd),
                           ("start", service.starts)):
            if arguments.only in (None, name):
                folder_of_part = work / name
                folder_of_part.mkdir()
                part(arguments.cadastre, index_bench, folder_of_part, results, arguments.quick,
                     RUNS)
        if arguments.only in (None, "watchers"):
            watchers(arguments.cadastre, work, results, arguments.quick)
        if arguments.only in (None, "timestamps"):
            folder_of_part = work / "timestamps"
            folder_of_part.mkdir()
            timestamps.timestamps(arguments.cadastre, log_bench, folder_of_part, results,
                                  arguments.quick, RUNS)
        if arguments.only in (None, "cluster"):
            folder_of_part = work / "cluster"
            folder_of_part.mkdir()
            cluster_bench.cluster(arguments.cadastre, arguments.cadastre.parent / "cluster-bench",
                                  folder_of_part, results, arguments.quick)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    folder.mkdir(exist_ok=True)
    path.write_text(json.dumps(results, indent=1) + "\n")
    print(f"\nall figures: {path.relative_to(ROOT)}")


main()
