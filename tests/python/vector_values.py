"""Values as the vectors write them: bodies, headers, options; and the comparison of results."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

import ferrymq

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# Integers up to here are numbers in every language; larger ones are written as decimal strings.
EXACT_MAX = 2**53

DURATIONS = {"lease", "ttl", "delay", "timeout", "dedup_window", "expires"}

MESSAGE_FIELDS = (
    "attempt",
    "priority",
    "key",
    "headers",
    "redelivered",
    "produced_at",
    "queue",
    "content_type",
    "correlation_id",
    "reply_to",
)


class Wrong(Exception):
    """The scenario is not written as the format says, or a result is not as it expects."""


class Body(bytes):
    """A message's body: expected as text or as one of the forms of bodies, not as bytes."""


def seconds(value: Any) -> Any:
    """Milliseconds to the API's seconds. What is no number goes on as it is, to be refused."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value / 1000
    return value


def body_arguments(form: Any) -> dict[str, Any]:
    """A body as the arguments of produce: text as str, bytes as bytes, JSON as json=."""
    if isinstance(form, Mapping) and set(form) == {"json"}:
        return {"json": form["json"]}
    if isinstance(form, Mapping) and set(form) == {"hex"}:
        return {"body": bytes.fromhex(form["hex"])}
    return {"body": text_form(form)}


def text_form(form: Any) -> str:
    """A string, or one that is repeated."""
    if isinstance(form, str):
        return form
    if isinstance(form, Mapping) and set(form) == {"repeat", "times"}:
        return str(form["repeat"]) * int(form["times"])
    raise Wrong(f"{brief(form)} is no body; write a string, hex, repeat with times, or json")


def body_bytes(form: Any) -> bytes:
    """The bytes of a body, for comparison."""
    if isinstance(form, Mapping) and set(form) == {"hex"}:
        return bytes.fromhex(form["hex"])
    return text_form(form).encode()


def header(form: Any) -> Any:
    """A header's value: JSON's own, or one of the forms for what JSON has no word for."""
    if isinstance(form, list):
        return [header(item) for item in form]
    if not isinstance(form, Mapping):
        return form
    match dict(form):
        case {"hex": str(digits), **rest} if not rest:
            return bytes.fromhex(digits)
        case {"timestamp": int(ms), **rest} if not rest:
            return EPOCH + timedelta(milliseconds=ms)
        case {"int": str(digits), **rest} if not rest:
            return int(digits)
        case {"float": int() | float() as number, **rest} if not rest:
            return float(number)
        case {"repeat": str(), "times": int(), **rest} if not rest:
            return text_form(form)
    return {name: header(value) for name, value in form.items()}


def queue_options(options: Any) -> dict[str, Any]:
    """A queue's options: durations to seconds, a backoff to its class, a pair to a tuple."""
    if not isinstance(options, Mapping):
        raise Wrong(f"options is {brief(options)}, not an object")
    passed = {
        name: seconds(value) if name in DURATIONS else value for name, value in options.items()
    }
    backoff = passed.get("backoff")
    if isinstance(backoff, Mapping):
        times = {"initial", "max"}
        fields = {name: seconds(v) if name in times else v for name, v in backoff.items()}
        passed["backoff"] = ferrymq.Backoff(**fields)
    elif "backoff" in passed:
        passed["backoff"] = seconds(backoff)
    pair = passed.get("dead_letter")
    if isinstance(pair, list):
        passed["dead_letter"] = tuple(pair)
    return passed


def call_options(options: Any) -> dict[str, Any]:
    """The options of a produce, publish or consume."""
    if not isinstance(options, Mapping):
        raise Wrong(f"options is {brief(options)}, not an object")
    passed = {
        name: seconds(value) if name in DURATIONS else value for name, value in options.items()
    }
    if isinstance(passed.get("headers"), Mapping):
        passed["headers"] = header_fields(passed["headers"])
    return passed


def header_fields(headers: Mapping[str, Any]) -> dict[str, Any]:
    """A message's headers: the outermost object is never one of the forms."""
    return {name: header(value) for name, value in headers.items()}


def shown(value: Any) -> Any:
    """A result as the vectors see it: messages and statistics as fields, moments in ms."""
    match value:
        case ferrymq.Message():
            fields = {name: shown(getattr(value, name)) for name in MESSAGE_FIELDS}
            return {"body": Body(value.body), **fields}
        case ferrymq.QueueStats():
            return asdict(value) | {"oldest_age": round(value.oldest_age * 1000)}
        case datetime():
            return (value - EPOCH) // timedelta(milliseconds=1)
        case dict():
            return {name: shown(item) for name, item in value.items()}
        case list() | tuple():
            return [shown(item) for item in value]
    return value


def compare(expected: Any, actual: Any, path: str = "") -> None:
    """Compare what is named. Raises Wrong saying where the first difference is."""
    if isinstance(actual, dict) and isinstance(expected, Mapping):
        for name, value in expected.items():
            compare(value, actual.get(name), f"{path}.{name}" if path else name)
    elif isinstance(actual, list) and isinstance(expected, list):
        if len(expected) != len(actual):
            where = f"{path}: " if path else ""
            raise Wrong(f"expected {where}a list of {len(expected)}, got {len(actual)}")
        for index, value in enumerate(expected):
            compare(value, actual[index], f"{path}.{index}" if path else str(index))
    elif not same(expected, actual):
        where = f"{path} " if path else ""
        raise Wrong(f"expected {where}{brief(expected)}, got {brief(actual)}")


def same(expected: Any, actual: Any) -> bool:
    """Whether one value is what is expected of it."""
    if isinstance(actual, Body):
        if expected is None:
            return False
        if isinstance(expected, Mapping) and set(expected) == {"json"}:
            return bool(json.loads(actual) == expected["json"])
        return body_bytes(expected) == bytes(actual)
    if isinstance(actual, bytes):
        is_form = isinstance(expected, Mapping) and set(expected) == {"hex"}
        return is_form and bytes.fromhex(expected["hex"]) == actual
    if isinstance(actual, bool) or isinstance(expected, bool):
        return actual is expected
    if isinstance(actual, int) and isinstance(expected, str):
        return abs(actual) > EXACT_MAX and str(actual) == expected
    if isinstance(actual, int | float):
        return isinstance(expected, int | float) and actual == expected
    return type(actual) is type(expected) and bool(actual == expected)


def brief(value: Any) -> str:
    """A value in a sentence about a difference."""
    if isinstance(value, dict) and "body" in value:
        return f"a message with body {brief(value['body'])}"
    if isinstance(value, bytes):
        value = value.decode(errors="replace")
    text = json.dumps(value, ensure_ascii=False, default=repr)
    return text if len(text) <= 60 else f"{text[:60]}..."
