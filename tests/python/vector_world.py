"""What a scenario builds up, and how each step maps to a call of the Python API.

The steps are written once, as coroutines: through the sync API nothing in them ever waits.
"""

from __future__ import annotations

import asyncio
import inspect
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Self

import ferrymq
import ferrymq.testing
from vector_values import (
    Wrong,
    body_arguments,
    body_bytes,
    call_options,
    header_fields,
    queue_options,
    seconds,
)

# What each step may say beside do, at, as, expect and error; with ! where it must.
FIELDS = {
    "queue": "queue! options",
    "alter": "queue! options",
    "delete_queue": "queue!",
    "purge": "queue!",
    "redrive": "queue! max",
    "produce": "queue! body! options",
    "produce_many": "queue! items! options",
    "consume": "queue! options",
    "consume_many": "queue! max! options",
    "consumer": "queue! options",
    "cancel": "consumer!",
    "handed": "consumer!",
    "peek": "queue! max",
    "ack": "delivery token_of queue token durable",
    "nack": "delivery token_of queue token delay reason",
    "reject": "delivery token_of queue token reason",
    "release": "delivery token_of queue token",
    "extend": "delivery token_of queue token by!",
    "keep": "delivery! kept",
    "ack_many": "deliveries!",
    "exchange": "exchange! kind options",
    "delete_exchange": "exchange!",
    "bind": "exchange! queue to_exchange pattern headers match",
    "unbind": "exchange! queue to_exchange pattern headers match",
    "publish": "exchange! key body! options",
    "request": "queue! body! options",
    "reply": "delivery! body! options",
    "subscribe_bus": "pattern! options",
    "unsubscribe_bus": "subscription!",
    "publish_bus": "topic! body! options",
    "bus_events": "subscription!",
    "transaction": "ops!",
    "stats": "queue!",
    "queues": "",
    "result": "of!",
    "sync": "",
    "sync_fails": "",
    "kill": "",
    "power_cut": "",
    "reopen": "",
    "close": "",
}

# Steps that declare: on a manual disk the runner completes their sync.
DECLARING = {"queue", "alter", "delete_queue", "exchange", "delete_exchange", "bind", "unbind"}

# Turns of the event loop without an event, after which none is on its way.
QUIET_TURNS = 12

COMMON = {"do", "at", "as", "expect", "error"}


def checked(step: Any) -> Mapping[str, Any]:
    """The step, if it says nothing unknown and everything that it must."""
    if not isinstance(step, Mapping) or step.get("do") not in FIELDS:
        verb = step.get("do") if isinstance(step, Mapping) else step
        raise Wrong(f"unknown step {verb!r}; the steps are {', '.join(FIELDS)}")
    fields = FIELDS[step["do"]].split()
    unknown = set(step) - COMMON - {field.rstrip("!") for field in fields}
    missing = {field[:-1] for field in fields if field.endswith("!")} - set(step)
    if unknown:
        raise Wrong(f"unknown field {', '.join(sorted(unknown))} in step {step['do']}")
    if missing:
        raise Wrong(f"step {step['do']} lacks {', '.join(sorted(missing))}")
    if "expect" in step and "error" in step:
        raise Wrong(f"step {step['do']} has both expect and error")
    return step


def unpack(files: Mapping[str, Any], directory: Path) -> None:
    """Writes the files of a golden store (tests/golden/write.py)."""
    for name, packed in files.items():
        data = bytearray(packed["len"])
        for at, sector in packed["sectors"].items():
            written = bytes.fromhex(sector)
            data[int(at) : int(at) + len(written)] = written
        (directory / name).write_bytes(data)


async def value(result: Any) -> Any:
    """What a call gives: at once through the sync API, awaited through asyncio's."""
    return await result if inspect.isawaitable(result) else result


class World:
    """The broker, its hooks, and what the steps named."""

    def __init__(self, opened: Mapping[str, Any], *, aio: bool) -> None:
        unknown = set(opened) - {"storage", "durability", "lease", "memory_limit", "files"}
        if unknown:
            raise Wrong(f"unknown field {', '.join(sorted(unknown))} in open")
        arguments = {**opened}
        if "lease" in arguments:
            arguments["lease"] = seconds(arguments["lease"])
        self.directory: tempfile.TemporaryDirectory[str] | None = None
        files = arguments.pop("files", {})
        if opened.get("storage") == "store":
            self.directory = tempfile.TemporaryDirectory(prefix="ferrymq-vector-")
            arguments["path"] = self.directory.name
            unpack(files, Path(self.directory.name))
        self.testing = ferrymq.testing.open(**arguments)
        self.broker: Any = self.testing.aio if aio else self.testing
        self.is_manual = opened.get("storage") == "manual"
        self.queues: dict[str, Any] = {}
        self.exchanges: dict[str, Any] = {}
        self.results: dict[str, Any] = {}
        self.subscriptions: dict[str, tuple[Any, list[Any]]] = {}

    def close(self) -> None:
        """Close the broker; what it stored goes with the world."""
        self.testing.close()
        if self.directory is not None:
            self.directory.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    async def perform(self, step: Mapping[str, Any]) -> Any:
        """The step's result, or what it raises."""
        steps: dict[str, Callable[[Mapping[str, Any]], Awaitable[Any]]] = {
            "queue": self.declare_queue,
            "exchange": self.declare_exchange,
            "produce": self.produce,
            "produce_many": self.produce_many,
            "consume": self.consume,
            "consume_many": self.consume,
            "consumer": self.open_consumer,
            "cancel": self.cancel,
            "handed": self.handed,
            "keep": self.keep,
            "ack_many": self.ack_many,
            "bind": self.bind,
            "unbind": self.bind,
            "publish": self.publish,
            "transaction": self.transaction,
            "queues": self.names,
            "request": self.request,
            "reply": self.reply,
            "subscribe_bus": self.subscribe_bus,
            "unsubscribe_bus": self.unsubscribe_bus,
            "publish_bus": self.publish_bus,
            "bus_events": self.bus_events,
        }
        verb = step["do"]
        if verb in steps:
            return await steps[verb](step)
        if verb in ("ack", "nack", "reject", "release", "extend"):
            return await self.settle(step)
        if verb in ("sync", "sync_fails", "kill", "power_cut", "reopen"):
            return self.hook(verb)
        if verb == "close":
            return await value(self.broker.close())
        if verb == "delete_exchange":
            return await value((await self.exchange(step["exchange"])).delete())
        return await self.administer(step)

    async def queue(self, name: str) -> Any:
        """The queue of this name: the declared one, or one that exists."""
        if name not in self.queues:
            return await value(self.broker.queue(name, create=False))
        return self.queues[name]

    async def exchange(self, name: str) -> Any:
        """The exchange of this name: the declared one, or one that exists."""
        if name not in self.exchanges:
            return await value(self.broker.exchange(name, create=False))
        return self.exchanges[name]

    def hook(self, verb: str) -> None:
        getattr(self.testing.disk, verb)()
        if verb == "reopen":
            self.queues.clear()
            self.exchanges.clear()
            if self.is_manual:
                self.testing.disk.sync()

    async def declare_queue(self, step: Mapping[str, Any]) -> None:
        options = queue_options(step.get("options", {}))
        self.queues[step["queue"]] = await value(self.broker.queue(step["queue"], **options))

    async def declare_exchange(self, step: Mapping[str, Any]) -> None:
        name = step["exchange"]
        kind = (step["kind"],) if "kind" in step else ()
        options = call_options(step.get("options", {}))
        self.exchanges[name] = await value(self.broker.exchange(name, *kind, **options))

    async def administer(self, step: Mapping[str, Any]) -> Any:
        queue = await self.queue(step["queue"])
        match step["do"]:
            case "alter":
                return await value(queue.alter(**queue_options(step.get("options", {}))))
            case "delete_queue":
                return await value(queue.delete())
            case "redrive":
                return await value(queue.redrive(step.get("max")))
            case "peek":
                return await value(queue.peek(step.get("max", 1)))
            case verb:
                return await value(getattr(queue, verb)())

    async def produce(self, step: Mapping[str, Any]) -> Any:
        queue = await self.queue(step["queue"])
        arguments = body_arguments(step["body"]) | call_options(step.get("options", {}))
        return await value(queue.produce(**arguments))

    async def produce_many(self, step: Mapping[str, Any]) -> Any:
        queue = await self.queue(step["queue"])
        items: list[Any] = []
        for item in step["items"]:
            arguments = body_arguments(item["body"])
            options = call_options(item.get("options", {}))
            plain = not options and "body" in arguments
            items.append(arguments["body"] if plain else ferrymq.Outgoing(**arguments, **options))
        return await value(queue.produce_many(items, **call_options(step.get("options", {}))))

    async def consume(self, step: Mapping[str, Any]) -> Any:
        queue = await self.queue(step["queue"])
        options = call_options(step.get("options", {}))
        if step["do"] == "consume":
            return await value(queue.consume(**options))
        return await value(queue.consume_many(step["max"], **options))

    async def open_consumer(self, step: Mapping[str, Any]) -> Any:
        queue = await self.queue(step["queue"])
        return queue.consumer(**call_options(step.get("options", {})))

    def consumer(self, step: Mapping[str, Any]) -> Any:
        """The push consumer that a step names."""
        found = self.results.get(step["consumer"])
        if not hasattr(found, "consume_many"):
            raise Wrong(f"{step['consumer']!r} is not a consumer")
        return found

    async def cancel(self, step: Mapping[str, Any]) -> None:
        await value(self.consumer(step).close())

    async def handed(self, step: Mapping[str, Any]) -> list[Any]:
        """Everything that is reserved for it is taken, until nothing comes."""
        handed: list[Any] = []
        while some := await value(self.consumer(step).consume_many(100_000)):
            handed += some
        return handed

    def delivery(self, name: str) -> Any:
        """The delivery of this name; name.2 is the third of a batch."""
        found = self.results.get(name)
        batch, dot, index = name.rpartition(".")
        if found is None and dot and index.isdecimal():
            of_batch = self.results.get(batch)
            if isinstance(of_batch, list) and int(index) < len(of_batch):
                found = of_batch[int(index)]
        if not isinstance(found, ferrymq.Message):
            raise Wrong(f"{name!r} is not a delivery")
        return found

    async def settle(self, step: Mapping[str, Any]) -> Any:
        by_token: tuple[Any, ...] = ()
        if "delivery" in step:
            target = self.delivery(step["delivery"])
        elif "token_of" in step:
            delivery = self.delivery(step["token_of"])
            target, by_token = await self.queue(delivery.queue), (delivery.token,)
        elif "queue" in step and "token" in step:
            target = await self.queue(step["queue"])
            by_token = (body_bytes(step["token"]),)
        else:
            raise Wrong(f"step {step['do']} needs delivery, token_of, or queue and token")
        arguments = {name: step[name] for name in ("durable", "reason") if name in step}
        if "delay" in step:
            arguments["delay"] = seconds(step["delay"])
        if "by" in step:
            arguments["seconds"] = seconds(step["by"])
        return await value(getattr(target, step["do"])(*by_token, **arguments))

    async def keep(self, step: Mapping[str, Any]) -> None:
        """As a block around the delivery does: it keeps while it runs, and not when it is left."""
        delivery = self.delivery(step["delivery"])
        getattr(delivery, "_delivery", delivery)._keep(step.get("kept", True))

    async def ack_many(self, step: Mapping[str, Any]) -> Any:
        deliveries = [self.delivery(name) for name in step["deliveries"]]
        if not deliveries:
            return None
        queue = await self.queue(deliveries[0].queue)
        return await value(queue.ack_many(deliveries))

    async def request(self, step: Mapping[str, Any]) -> Any:
        queue = await self.queue(step["queue"])
        arguments = body_arguments(step["body"]) | call_options(step.get("options", {}))
        return await value(queue.request(**arguments))

    async def reply(self, step: Mapping[str, Any]) -> Any:
        arguments = body_arguments(step["body"]) | call_options(step.get("options", {}))
        return await value(self.delivery(step["delivery"]).reply(**arguments))

    async def subscribe_bus(self, step: Mapping[str, Any]) -> None:
        events: list[Any] = []

        async def handler(event: Any) -> None:
            events.append(event)

        bus = await self.broker.bus()
        subscribed = await bus.subscribe(step["pattern"], handler, **step.get("options", {}))
        self.subscriptions[step["as"]] = (subscribed, events)

    async def unsubscribe_bus(self, step: Mapping[str, Any]) -> None:
        subscribed, _events = self.subscriptions.pop(step["subscription"])
        await subscribed.stop()

    async def publish_bus(self, step: Mapping[str, Any]) -> Any:
        bus = await self.broker.bus()
        arguments = body_arguments(step["body"]) | call_options(step.get("options", {}))
        return await bus.publish(step["topic"], **arguments)

    async def bus_events(self, step: Mapping[str, Any]) -> Any:
        _subscribed, events = self.subscriptions[step["subscription"]]
        # An event takes turns of the loop on its way: quiet is when none came for as many.
        quiet = 0
        while quiet < QUIET_TURNS:
            before = len(events)
            await asyncio.sleep(0)
            quiet = quiet + 1 if len(events) == before else 0
        taken = events[:]
        events.clear()
        return taken

    async def bind(self, step: Mapping[str, Any]) -> Any:
        exchange = await self.exchange(step["exchange"])
        if ("queue" in step) == ("to_exchange" in step):
            raise Wrong(f"step {step['do']} names either queue or to_exchange")
        to_queue = "queue" in step
        target = await (
            self.queue(step["queue"]) if to_queue else self.exchange(step["to_exchange"])
        )
        said = {name: step[name] for name in ("pattern", "headers", "match") if name in step}
        return await value(getattr(exchange, step["do"])(target, **call_options(said)))

    async def publish(self, step: Mapping[str, Any]) -> Any:
        exchange = await self.exchange(step["exchange"])
        arguments = body_arguments(step["body"]) | call_options(step.get("options", {}))
        if "key" in step:
            arguments["key"] = step["key"]
        return await value(exchange.produce(**arguments))

    async def transaction(self, step: Mapping[str, Any]) -> Any:
        transaction = self.broker.transaction()
        for operation in step["ops"]:
            op = checked(operation)
            if {"at", "expect", "error"} & set(op):
                raise Wrong("an operation of a transaction has no time and no result of its own")
            options = call_options(op.get("options", {}))
            match op["do"]:
                case "produce":
                    queue = await self.queue(op["queue"])
                    arguments = body_arguments(op["body"]) | options
                    await value(transaction.produce(queue, **arguments))
                case "publish":
                    exchange = await self.exchange(op["exchange"])
                    arguments = body_arguments(op["body"]) | options | {"key": op.get("key", "")}
                    await value(transaction.produce(exchange, **arguments))
                case "ack" if "delivery" in op:
                    await value(transaction.ack(self.delivery(op["delivery"])))
                case "ack" if "token_of" in op:
                    await value(transaction.ack(self.delivery(op["token_of"]).token))
                case verb:
                    raise Wrong(f"a transaction holds produce, publish and ack steps, not {verb}")
        await value(transaction.commit())
        return transaction.results

    async def names(self, step: Mapping[str, Any]) -> list[str]:
        del step
        return sorted(stats.name for stats in await value(self.broker.queues()))


__all__ = ["DECLARING", "World", "checked", "header_fields"]
