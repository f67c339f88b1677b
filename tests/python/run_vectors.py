"""The Python home's vector runner: every scenario under a directory, unchanged.

    python tests/python/run_vectors.py --dir DIR

A JSON line per scenario on standard output. Each scenario is run through asyncio, and, where no
step of it waits, through the sync API too; a scenario in memory is run on a store in an empty
directory as well. All must give what it expects. Ends with 0 when all could be run, whatever came
of them, and with 2 when the runner itself broke.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import warnings
from collections.abc import Coroutine, Iterator, Mapping
from pathlib import Path
from typing import Any

import ferrymq
from vector_values import Wrong, brief, compare, shown
from vector_world import DECLARING, World, checked

# Turns of the event loop after which everything that could go on has: a wake-up takes three.
TURNS = 12

FINISHED_ERRORS = (ferrymq.FerryError, TypeError)


def run_directory(directory: Path) -> Iterator[dict[str, Any]]:
    """The outcome of every scenario, in the order of their paths."""
    for path in sorted(
        directory.rglob("*.json"), key=lambda p: p.relative_to(directory).as_posix()
    ):
        outcome = {"home": "python", "file": path.relative_to(directory).as_posix()}
        name, detail = run_file(path)
        yield outcome | {"name": name, "ok": not detail, "detail": detail}


def run_file(path: Path) -> tuple[str, str]:
    """The scenario's name, and what was not as expected; empty when all was."""
    try:
        scenario = json.loads(path.read_text(encoding="utf-8"))
        unknown = set(scenario) - {"name", "about", "covers", "open", "steps"}
        if unknown or not isinstance(scenario.get("steps"), list):
            raise Wrong(f"unknown fields {sorted(unknown)}" if unknown else "there are no steps")
    except (Wrong, ValueError, TypeError, AttributeError, OSError) as error:
        return path.stem, f"does not parse: {error}"
    name = str(scenario.get("name", path.stem))
    try:
        for step in scenario["steps"]:
            checked(step)
    except Wrong as error:
        return name, str(error)
    for run in on_each_storage(scenario):
        for drive, api in ((drive_sync, "sync API"), (drive_aio, "asyncio")):
            if drive is drive_sync and waits(run):
                continue
            where = f"{api}, on a store" if run is not scenario else api
            try:
                drive(run)
            except Wrong as error:
                return name, f"{error} ({where})"
            except Exception as error:
                return name, f"broke with {type(error).__name__}: {error} ({where})"
    return name, ""


def on_each_storage(scenario: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The scenario, and the same on a store in a directory if it is one in memory."""
    yield scenario
    opened = scenario.get("open", {})
    if opened.get("storage", "memory") == "memory":
        yield {**scenario, "open": {**opened, "storage": "store"}}


def waits(scenario: Mapping[str, Any]) -> bool:
    """Whether a step may have to wait: the sync API would wait for the next step for ever."""
    if scenario.get("open", {}).get("storage") == "manual":
        return True
    return any(
        step.get("expect") == "pending"
        or step["do"] in ("result", "request", "subscribe_bus", "publish_bus")
        or (step.get("options") or {}).get("timeout", 0) != 0
        for step in scenario["steps"]
    )


def at_once(call: Coroutine[Any, Any, Any]) -> Any:
    """The result of a coroutine in which nothing waits."""
    try:
        call.send(None)
    except StopIteration as stop:
        return stop.value
    call.close()
    raise Wrong("the step waits")


def drive_sync(scenario: Mapping[str, Any]) -> None:
    world = World(scenario.get("open", {}), aio=False)
    with world:
        for number, step in enumerate(scenario["steps"], 1):
            with _named(number, step):
                move_clock(world, step)
                try:
                    result, error = at_once(world.perform(step)), None
                except FINISHED_ERRORS as raised:
                    result, error = None, raised
                judge(step, result, error)
                if "as" in step:
                    world.results[step["as"]] = result


def drive_aio(scenario: Mapping[str, Any]) -> None:
    asyncio.run(_drive_aio(scenario))


async def _drive_aio(scenario: Mapping[str, Any]) -> None:
    world = World(scenario.get("open", {}), aio=True)
    calls: dict[str, asyncio.Task[Any]] = {}
    started: list[asyncio.Task[Any]] = []
    try:
        for number, step in enumerate(scenario["steps"], 1):
            with _named(number, step):
                move_clock(world, step)
                if step["do"] == "result":
                    if step["of"] not in calls:
                        raise Wrong(f"nothing is called {step['of']!r}")
                    task = calls[step["of"]]
                    await settled(task)
                else:
                    task = asyncio.create_task(world.perform(step))
                    started.append(task)
                    # An event takes turns of the loop on its way: this step counts them itself.
                    await (asyncio.wait([task]) if step["do"] == "bus_events" else settled(task))
                    if world.is_manual and step["do"] in DECLARING and not task.done():
                        world.testing.disk.sync()
                        await settled(task)
                judge_task(world, step, task)
                for name in {step.get("as"), step.get("of")} - {None}:
                    calls[str(name)] = task
                    if task.done() and task.exception() is None:
                        world.results[str(name)] = task.result()
    finally:
        for task in started:
            task.cancel()
        await asyncio.gather(*started, return_exceptions=True)
        world.close()


async def settled(task: asyncio.Task[Any]) -> None:
    """Lets everything go on that can, without waiting for anything else."""
    for _ in range(TURNS):
        if task.done():
            return
        await asyncio.sleep(0)


def judge_task(world: World, step: Mapping[str, Any], task: asyncio.Task[Any]) -> None:
    if not task.done():
        if step.get("expect") == "pending":
            return
        wanted = step.get("error") or brief(step.get("expect", "an end"))
        raise Wrong(f"expected {wanted}, it is pending")
    error = task.exception()
    if error is not None and not isinstance(error, FINISHED_ERRORS):
        raise error
    judge(step, None if error else task.result(), error)


def judge(step: Mapping[str, Any], result: Any, error: BaseException | None) -> None:
    """Compares an outcome with what the step expects. Raises Wrong where they differ."""
    # Python's own word for an argument that does not exist is TypeError; the vectors have one word.
    code = error.code if isinstance(error, ferrymq.FerryError) else "InvalidArgument"
    if error is not None:
        if step.get("error") != code:
            wanted = step.get("error") or brief(step.get("expect", "success"))
            raise Wrong(f"expected {wanted}, got {type(error).__name__}: {error}")
    elif "error" in step:
        raise Wrong(f"expected error {step['error']}, got {brief(shown(result))}")
    elif "expect" in step:
        if step["expect"] == "pending":
            raise Wrong(f"expected it to be pending, it finished with {brief(shown(result))}")
        compare(step["expect"], shown(result))


def move_clock(world: World, step: Mapping[str, Any]) -> None:
    if "at" in step:
        world.testing.clock.advance_to(step["at"] / 1000)


class _named:
    """Says of a difference in which step it is."""

    def __init__(self, number: int, step: Mapping[str, Any]) -> None:
        self.where = f"step {number} ({step['do']})"

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, Wrong):
            raise Wrong(f"{self.where}: {error}") from None


def main() -> int:
    parser = argparse.ArgumentParser(description="Run every scenario under a directory.")
    parser.add_argument("--dir", type=Path, required=True, help="where the *.json files are")
    directory = parser.parse_args().dir
    # Scenarios leave deliveries unsettled on purpose.
    warnings.simplefilter("ignore", ResourceWarning)
    if not directory.is_dir():
        print(f"run_vectors: {directory} is no directory", file=sys.stderr)
        return 2
    for outcome in run_directory(directory):
        print(json.dumps(outcome, ensure_ascii=False), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
