#!/usr/bin/env python3
"""Runs a command that runs tests, and ends it after a limit: watchdog.py SECONDS COMMAND...

A test that waits for ever would hold up whoever runs the tests, and say nothing. What the command
prints is passed on as it comes; when the limit is reached the tests that have begun and not ended are
named, and the exit status is 124.
"""

import os
import re
import signal
import subprocess
import sys
import threading

BEGUN = re.compile(r"Test (\S+\(.*?\)) started\.")
ENDED = re.compile(r"Test (\S+\(.*?\)) (?:with \d+ test cases? )?(?:passed|failed) after")


def main():
    limit, command = float(sys.argv[1]), sys.argv[2:]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
    )
    is_late = threading.Event()

    def end():
        is_late.set()
        os.killpg(process.pid, signal.SIGKILL)

    timer = threading.Timer(limit, end)
    timer.daemon = True
    timer.start()
    running = {}
    for raw in process.stdout:
        line = raw.decode("utf-8", "replace")
        sys.stdout.write(line)
        sys.stdout.flush()
        if found := BEGUN.search(line):
            running[found[1]] = running.get(found[1], 0) + 1
        elif found := ENDED.search(line):
            running[found[1]] = running.get(found[1], 0) - 1
    status = process.wait()
    timer.cancel()
    if is_late.is_set():
        names = sorted(name for name, count in running.items() if count > 0)
        print(f"error: the tests took longer than {limit:.0f} s and were ended; still running:")
        for name in names or ["none: the process did not end after its tests"]:
            print(f"  {name}")
        return 124
    return status if status >= 0 else 128 - status


sys.exit(main())
