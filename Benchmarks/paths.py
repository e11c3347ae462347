"""Lookups on real paths and after a million splits, beside Rust's BTreeMap with the same keys."""

import gzip
import pathlib
import random
import re
import shutil
import statistics
import struct
import subprocess
import sys
import urllib.error
import urllib.request

from tools import median, pick, ratios, run, table, thousands

ROOT = pathlib.Path(__file__).resolve().parent.parent
CACHE = ROOT / ".build/bench-cache"
SAMPLE = ROOT / "fixtures/debian-paths-120k.tsv.gz"
RUST = "rust_btreemap_lookup"


def btreemap(work):
    """The program of Rust's BTreeMap; None where there is no rustc."""
    if not shutil.which("rustc"):
        print("no rustc on the PATH: Rust's BTreeMap is left out", file=sys.stderr)
        return None
    program = work / "btreemap"
    subprocess.run(
        ["rustc", "-O", ROOT / "Benchmarks/rust/btreemap.rs", "-o", program], check=True)
    return program


def mirror():
    """Where apt gets Debian's packages from, and the name of the release."""
    release = "bookworm"
    for line in pathlib.Path("/etc/os-release").read_text().splitlines():
        if line.startswith("VERSION_CODENAME="):
            release = line.split("=", 1)[1].strip('"')
    folder = pathlib.Path("/etc/apt")
    files = [folder / "sources.list", *sorted((folder / "sources.list.d").glob("*"))]
    for file in files:
        lines = file.read_text().splitlines() if file.exists() else []
        for line in lines:
            found = re.search(r"https?://\S+/debian(?=[\s/]|$)", line)
            if found and not line.startswith("#"):
                return found.group(0), release
    return "http://deb.debian.org/debian", release


def contents():
    """The lines of Debian's index of files, and where they come from: the whole index from apt's
    mirror, else the sample that the tests use."""
    file = CACHE / "Contents-amd64.gz"
    if not file.exists():
        address, release = mirror()
        url = f"{address}/dists/{release}/main/Contents-amd64.gz"
        print(f"$ fetch {url}", file=sys.stderr, flush=True)
        try:
            CACHE.mkdir(parents=True, exist_ok=True)
            with urllib.request.urlopen(url, timeout=120) as answer:
                data = answer.read()
            gzip.decompress(data)
            file.write_bytes(data)
        except (OSError, urllib.error.URLError, EOFError) as error:
            print(f"{error}: the sample of 120,000 paths takes its place", file=sys.stderr)
    if file.exists():
        with gzip.open(file, "rb") as lines:
            return lines.read().splitlines(), "Debian's whole Contents index"
    if not SAMPLE.exists():
        return [], ""
    with gzip.open(SAMPLE, "rb") as lines:
        return [line.replace(b"\t", b" ") for line in lines.read().splitlines()], \
            "a sample of 120,000 lines of Debian's Contents index"


def write_keys(path, keys):
    path.write_bytes(b"".join(struct.pack("<I", len(key)) + key for key in keys))


def real_paths(work, quick):
    """Writes base.bin, more.bin and sought.bin; says what they are made of, None without any."""
    lines, source = contents()
    paths = sorted({line.rsplit(None, 1)[0].rstrip() for line in lines if b" " in line})
    if not paths:
        return None
    generator = random.Random(1)
    sought = [generator.choice(paths) for _ in range(100_000 if quick else 1_000_000)]
    generator.shuffle(paths)
    count = min(100_000 if quick else 1_000_000, len(paths) * 2 // 3)
    base, more = paths[:count], paths[count:count * 2]
    write_keys(work / "base.bin", base)
    write_keys(work / "more.bin", more)
    write_keys(work / "sought.bin", sought)
    return {"source": source, "paths": len(paths), "routes": count, "splits": len(more),
            "mean_bytes": round(statistics.mean(map(len, paths)), 1)}


def compare(title, ours, theirs, rows):
    """A table of rows (words, our bench, Rust's bench) with means, medians and p99 and ratios."""
    cells = []
    for words, name, rust in rows:
        cells.append([f"Cadastre, {words}", *(
            f"{median(ours, f, bench=name):.0f} ns" for f in ("mean_ns", "median_ns", "p99_ns"))])
        if theirs:
            cells.append([f"Rust `BTreeMap<Box<[u8]>, _>`, {words}", *(
                f"{median(theirs, f, bench=rust):.0f} ns"
                for f in ("mean_ns", "median_ns", "p99_ns"))])
            cells.append(["ratio", *(
                f"{ratios([pick(r, bench=name)[f] for r in ours], [pick(r, bench=rust)[f] for r in theirs]):.2f}"
                for f in ("mean_ns", "median_ns", "p99_ns"))])
    table(title, ["", "mean", "median", "p99"], cells)


def paths(bench, work, results, quick, runs):
    rust = btreemap(work)
    facts = real_paths(work, quick)
    results["paths"] = {"facts": facts}
    both = [("built at once", "lookup", RUST),
            ("after the splits", "lookup_after_splits", RUST + "_after_splits")]
    if facts:
        ours, theirs = [], []
        for _ in range(runs):
            ours.append(run(
                bench, "--only", "lookup,memory,churn", "--keys", work / "base.bin",
                "--lookup-keys", work / "sought.bin", "--splits", work / "more.bin"))
            if rust:
                theirs.append(run(
                    rust, work / "base.bin", work / "sought.bin", work / "more.bin"))
        results["paths"].update(real=ours, real_rust=theirs)
        compare(
            f"Real paths ({facts['source']}, {facts['mean_bytes']} bytes each): "
            f"{facts['routes']:,} routes, then {facts['splits']:,} splits, random lookups of paths",
            ours, theirs, both)
        print(f"\nMemory of the {facts['routes']:,} routes with all indexes: "
              f"{thousands(median(ours, 'bytes', bench='memory'))} bytes")
    else:
        print("no paths: neither the index nor the sample is there", file=sys.stderr)

    ours, theirs = [], []
    size = ["--routes", 100_000] if quick else []
    for _ in range(runs):
        ours.append(run(bench, *size, "--only", "lookup,memory,churn", "--write", work))
        if rust:
            theirs.append(run(
                rust, work / "keys.bin", work / "lookups.bin", work / "splits.bin"))
    results["paths"].update(made=ours, made_rust=theirs)
    splits = pick(ours[0], bench="million_splits")["splits"]
    compare(
        f"Made keys of 12 to 40 bytes: {pick(ours[0], bench='lookup')['routes']:,} routes, then "
        f"{splits:,} random splits, random lookups", ours, theirs, both)


def ten_million(bench, work, results, quick):
    rust = btreemap(work)
    ours = [run(bench, "--routes", 1_000_000 if quick else 10_000_000, "--only", "lookup,memory",
                "--write", work)]
    theirs = [run(rust, work / "keys.bin", work / "lookups.bin")] if rust else []
    results["ten_million"] = {"ours": ours, "rust": theirs}
    memory = pick(ours[0], bench="memory")
    compare(f"{memory['routes']:,} routes, keys of 12 to 40 bytes, random lookups", ours, theirs,
            [("built at once", "lookup", RUST)])
    table("Memory", ["", "bytes"], [
        [f"{memory['routes']:,} routes, all three indexes", thousands(memory["bytes"])],
        ["… by start key, what a BTreeMap holds", thousands(memory["by_start"])],
        *([["Rust's map and the keys that are looked up, resident",
            thousands(pick(theirs[0], bench=RUST)["resident_bytes"])]] if theirs else [])])
