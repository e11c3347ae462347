"""What the benchmarks share: running programs, picking figures, printing tables."""

import json
import statistics
import subprocess
import sys
import time


def run(*command):
    """Runs a command and returns the JSON lines that it prints."""
    shown = " ".join(str(word) for word in command)
    print(f"$ {shown}", file=sys.stderr, flush=True)
    done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(f"error: {shown} ended with status {done.returncode}")
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def pick(lines, **facts):
    """The one line with these facts."""
    found = [line for line in lines if all(line.get(k) == v for k, v in facts.items())]
    if len(found) != 1:
        sys.exit(f"error: {len(found)} figures for {facts}")
    return found[0]


def median(runs, figure, **facts):
    return statistics.median(pick(lines, **facts)[figure] for lines in runs)


def ratios(left, right):
    """The median of the ratios, pair by pair."""
    return statistics.median(a / b for a, b in zip(left, right))


def table(title, header, rows):
    cells = [header] + [[str(cell) for cell in row] for row in rows]
    print(f"\n### {title}\n")
    for number, row in enumerate(cells):
        print("| " + " | ".join(row) + " |")
        if number == 0:
            print("|" + "|".join(["---"] + ["---:"] * (len(row) - 1)) + "|")
    sys.stdout.flush()


def thousands(number):
    return f"{number:,.0f}"


def milliseconds(seconds):
    return f"{seconds * 1000:,.1f} ms"


def ask(cadastre, address):
    done = subprocess.run([cadastre, "status", "--server", address, "--json"],
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return json.loads(done.stdout) if done.returncode == 0 else None


def wait_for(look):
    end = time.monotonic() + 600
    while time.monotonic() < end:
        if found := look():
            return found
        time.sleep(0.02)
    sys.exit("error: waited ten minutes for a node")
