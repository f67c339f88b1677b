"""The command line: `ferrymq demo`."""

from __future__ import annotations

import argparse
import json
import os
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path

import ferrymq

from . import demo

DEMO = """\
Run a real job through a queue: every file under a directory is put on the queue `files`; worker
threads take them, compute size, lines, SHA-256 and encoding, and send what they found to the queue
`results`, in one transaction with the ack. What you can watch:

  retry        a built-in step fails 1 % of the time (by --seed); the message comes back later
  reject       a file that cannot be decoded goes to the dead-letter queue, with the reason
  max_attempts a file that cannot be read is tried five times, then goes there too
  back-pressure  the queue holds 10,000 messages; who fills it waits for the workers
  durability   with --data, kill it in the middle and start it again: it goes on where it was
"""

EXAMPLES = """\
examples:
  ferrymq demo                      the standard library of this Python
  ferrymq demo ~/project --workers 8
  ferrymq demo --json | jq .lines
  ferrymq demo --data ./demo-data   kill -9 it, and run the same again
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status."""
    options = parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except KeyboardInterrupt:
        print("\nferrymq: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # Whoever read our output has had enough; python would complain once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print(f"ferrymq {options.command}: {where}{error.strerror or error}", file=sys.stderr)
        return 1
    except ferrymq.FerryError as error:
        print(f"ferrymq {options.command}: {error}", file=sys.stderr)
        return 1


def parser() -> argparse.ArgumentParser:
    """All commands and their options."""
    top = argparse.ArgumentParser(
        prog="ferrymq",
        description="FerryMQ: a message queue inside your process.",
        epilog="`ferrymq COMMAND --help` tells more of a command.",
    )
    top.add_argument("--version", action="version", version=f"ferrymq {ferrymq.__version__}")
    commands = top.add_subparsers(title="commands", dest="command", required=True)
    job = commands.add_parser(
        "demo",
        help="measure every file under a directory, through a queue",
        description=DEMO,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    job.add_argument(
        "directory",
        nargs="?",
        type=Path,
        default=Path(sysconfig.get_path("stdlib")),
        metavar="DIRECTORY",
        help="default: the standard library, %(default)s",
    )
    job.add_argument(
        "--workers",
        type=count,
        default=os.cpu_count() or 4,
        metavar="N",
        help="worker threads (default: one per processor, %(default)s)",
    )
    job.add_argument(
        "--seed",
        type=int,
        default=1,
        metavar="N",
        help="which files the flaky step fails for (default: %(default)s)",
    )
    job.add_argument(
        "--data",
        type=Path,
        metavar="DIR",
        help="keep the queues in this store, so that a job that was killed goes on "
        "(default: in memory)",
    )
    job.add_argument("--json", action="store_true", help="print the totals as JSON")
    job.set_defaults(run=run_demo)
    return top


def count(text: str) -> int:
    """A number of workers."""
    number = int(text)
    if not 1 <= number <= 1000:
        raise argparse.ArgumentTypeError(f"{text} is not a number of 1 to 1000")
    return number


def run_demo(options: argparse.Namespace) -> int:
    """Run the job and print its totals."""
    is_watched = sys.stderr.isatty()
    progress = demo.show_progress if is_watched else None
    try:
        totals = demo.run(
            options.directory,
            workers=options.workers,
            seed=options.seed,
            data=options.data,
            progress=progress,
        )
    finally:
        if is_watched:
            sys.stderr.write("\n")
    if options.json:
        print(json.dumps(totals.as_dict(), indent=2))
    else:
        print(demo.table(totals))
    return 0


if __name__ == "__main__":
    sys.exit(main())
