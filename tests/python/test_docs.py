"""Every example in a docstring runs, and everything public has a docstring."""

from __future__ import annotations

import doctest
import inspect
from types import ModuleType
from typing import Any

import ferrymq
import ferrymq._types
import ferrymq.aio
import ferrymq.cli
import ferrymq.demo
import ferrymq.pytest_plugin
import ferrymq.testing
import pytest

MODULES = [
    ferrymq,
    ferrymq._types,
    ferrymq.aio,
    ferrymq.cli,
    ferrymq.demo,
    ferrymq.pytest_plugin,
    ferrymq.testing,
]
CLASSES = [
    ferrymq.Alarm,
    ferrymq.Broker,
    ferrymq.Queue,
    ferrymq.Exchange,
    ferrymq.Transaction,
    ferrymq.Outgoing,
    ferrymq.Message,
    ferrymq.Delivery,
]


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_examples_of_modules(module: ModuleType) -> None:
    assert doctest.testmod(module, extraglobs={"ferrymq": ferrymq}).failed == 0


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_examples_of_native_classes(cls: type) -> None:
    names = {name: getattr(ferrymq, name) for name in ferrymq.__all__} | {"ferrymq": ferrymq}
    examples = doctest.DocTestParser().get_examples(cls.__doc__ or "")
    assert examples, f"{cls.__name__} has no example"
    test = doctest.DocTest(examples, names, cls.__name__, None, None, None)
    assert doctest.DocTestRunner().run(test).failed == 0


def public(owner: Any) -> list[tuple[str, Any]]:
    return [(name, getattr(owner, name)) for name in dir(owner) if not name.startswith("_")]


def test_everything_public_says_what_it_does() -> None:
    silent = []
    aio = [getattr(ferrymq.aio, name) for name in ferrymq.aio.__all__]
    testing = [getattr(ferrymq.testing, name) for name in ferrymq.testing.__all__]
    for cls in [*CLASSES, *aio, *testing]:
        if not inspect.getdoc(cls):
            silent.append(repr(cls))
        if inspect.isclass(cls):
            silent += [
                f"{cls.__module__}.{cls.__name__}.{name}"
                for name, member in public(cls)
                if not inspect.getdoc(member)
            ]
    assert silent == []


def test_all_lists_what_is_public() -> None:
    for module in (ferrymq, ferrymq.aio, ferrymq.testing):
        assert sorted(module.__all__) == module.__all__
        for name in module.__all__:
            assert hasattr(module, name)
