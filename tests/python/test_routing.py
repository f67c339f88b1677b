"""Exchanges and transactions through the sync API."""

from __future__ import annotations

from typing import Any

import ferrymq
import pytest
from conftest import take
from ferrymq._types import ExchangeKind


def test_kinds_and_bindings(broker: ferrymq.Broker) -> None:
    one, two = broker.queue("one"), broker.queue("two")
    direct, fanout = broker.exchange("d", "direct"), broker.exchange("f", "fanout")
    topic = broker.exchange("t")
    direct.bind(one, "key")
    fanout.bind(one)
    fanout.bind(two)
    topic.bind(two, "order.#")
    assert direct.produce(b"1", key="key") == 1
    assert direct.produce(b"1", key="other") == 0
    assert fanout.produce("2", headers={"h": 1}, correlation_id="c") == 2
    assert topic.produce(json=3, key="order.new.eu") == 1
    assert [len(one), len(two)] == [2, 2]
    *_, last = two.consume_many(2, auto_ack=True)
    assert (last.json(), last.key) == (3, "order.new.eu")
    topic.unbind(two, "order.#")
    with pytest.raises(ferrymq.NotFound):
        topic.unbind(two, "order.#")
    with pytest.raises(ferrymq.Unroutable):
        topic.produce(b"x", key="order", mandatory=True)
    topic.delete()
    with pytest.raises(ferrymq.NotFound):
        topic.produce(b"x")


def test_declaring_an_exchange_again(broker: ferrymq.Broker) -> None:
    kinds: list[ExchangeKind] = ["direct", "fanout", "topic", "headers"]
    for kind in kinds:
        assert broker.exchange(kind, kind).name == kind
        assert broker.exchange(kind, create=False).name == kind
    with pytest.raises(ferrymq.QueueConflict):
        broker.exchange("direct", "topic")
    with pytest.raises(ferrymq.NotFound):
        broker.exchange("none", create=False)


def test_dead_letters_can_be_routed(broker: ferrymq.Broker) -> None:
    exchange, graves = broker.exchange("graveyard", "direct"), broker.queue("graves")
    exchange.bind(graves, "q")
    queue = broker.queue("q", dead_letter=("graveyard", "q"))
    queue.produce(b"x")
    take(queue).reject("enough")
    with take(graves) as dead:
        assert dead.headers["x-dead-queue"] == "q"


def test_a_transaction_commits_at_the_end_of_its_block(broker: ferrymq.Broker) -> None:
    queue, results, events = broker.queue("q"), broker.queue("results"), broker.exchange("e")
    queue.produce_many([b"a", b"b"])
    first, second = queue.consume_many(2)
    with broker.transaction() as transaction:
        transaction.produce(results, "done", key="k", priority=0, headers={"of": first.id})
        transaction.produce(events, b"event", key="nobody")
        transaction.ack(first)
        transaction.ack(second.token)
        assert len(results) == 0
        assert transaction.results == []
    id, reached, *acks = transaction.results
    assert (reached, acks) == (0, [None, None])
    queue.ack_many([])
    with take(results) as delivery:
        assert (delivery.id, delivery.key, delivery.headers) == (id, "k", {"of": first.id})
    assert len(queue) == 0
    with pytest.raises(ferrymq.LeaseLost):
        second.release()


def test_an_exception_forgets_a_transaction(broker: ferrymq.Broker) -> None:
    queue = broker.queue("q")
    queue.produce(b"a")
    delivery = take(queue)
    with pytest.raises(RuntimeError, match="no"), broker.transaction() as transaction:
        transaction.produce(queue, b"b")
        transaction.ack(delivery)
        raise RuntimeError("no")
    assert queue.stats().produced == 1
    delivery.ack()
    for call in (
        transaction.commit,
        lambda: transaction.produce(queue, b"c"),
        lambda: transaction.ack(b"x" * 24),
    ):
        with pytest.raises(ferrymq.InvalidArgument, match="over"):
            call()


def test_a_committed_or_rolled_back_transaction_is_over(broker: ferrymq.Broker) -> None:
    queue = broker.queue("q")
    with broker.transaction() as transaction:
        transaction.produce(queue, b"x")
        transaction.commit()
    assert len(queue) == 1
    with broker.transaction() as transaction:
        transaction.produce(queue, b"y")
        transaction.rollback()
    with broker.transaction():
        pass
    assert len(queue) == 1


def test_refusals_abort_the_whole(broker: ferrymq.Broker) -> None:
    queue = broker.queue("q", capacity=1, overflow="block")
    with pytest.raises(ferrymq.QueueFull), broker.transaction() as transaction:
        transaction.produce(queue, b"x")
        transaction.produce(queue, b"y")
    assert len(queue) == 0
    queue.produce(b"x")
    delivery = take(queue)
    delivery.ack()
    with pytest.raises(ferrymq.LeaseLost), broker.transaction() as transaction:
        transaction.produce(queue, b"y")
        transaction.ack(delivery)
    assert len(queue) == 0


def test_bindings_by_headers_and_between_exchanges(broker: ferrymq.Broker) -> None:
    queue, other = broker.queue("q"), ferrymq.open().queue("q")
    everything, by_headers = broker.exchange("all", "fanout"), broker.exchange("h", "headers")
    everything.bind(by_headers)
    by_headers.bind(queue, headers={"size": 1, "kind": None}, match="all")
    assert everything.produce(b"x", headers={"size": 1, "kind": "a"}) == 1
    assert everything.produce(b"x", headers={"size": "1", "kind": "a"}) == 0
    by_headers.unbind(queue, headers={"kind": None, "size": 1})
    assert everything.produce(b"x", headers={"size": 1, "kind": "a"}) == 0
    bad: list[tuple[Any, dict[str, Any]]] = [
        ("q", {}),
        (other, {}),
        (queue, {"match": "some"}),
        (queue, {"match": 1}),
        (queue, {"headers": [1]}),
        (queue, {"headers": {"a": object()}}),
        (queue, {"pattern": 1}),
    ]
    for target, arguments in bad:
        with pytest.raises(ferrymq.InvalidArgument):
            by_headers.bind(target, **arguments)


def test_default_and_alternate_exchange(broker: ferrymq.Broker) -> None:
    queue = broker.queue("q")
    assert broker.exchange("").produce(b"1", key="q") == 1
    named = broker.exchange("named", "direct", alternate="rest")
    assert named.produce(b"2", key="q") == 0
    broker.exchange("rest", "fanout").bind(queue)
    assert named.produce(b"2", key="q") == 1
    with pytest.raises(ferrymq.QueueConflict, match='alternate = "rest"'):
        broker.exchange("named", alternate="other")
    with pytest.raises(ferrymq.InvalidArgument):
        broker.exchange("named", alternate=5)  # type: ignore[arg-type]


def test_a_transaction_of_a_million_operations_is_refused_early(broker: ferrymq.Broker) -> None:
    queue = broker.queue("q")
    added = 0
    with (
        pytest.raises(ferrymq.InvalidArgument, match="at most 100000 operations"),
        broker.transaction() as transaction,
    ):
        while added < 1_000_000:
            transaction.produce(queue, b"x")
            added += 1
    assert added == 100_000
    assert len(queue) == 0
    with broker.transaction() as transaction:
        for _ in range(100_000):
            transaction.produce(queue, b"x")
    assert len(queue) == 100_000
