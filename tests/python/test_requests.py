"""Request and reply, between threads and through asyncio; core/tests/requests.rs has the rest."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import ferrymq
import ferrymq.aio
import ferrymq.testing
import pytest
from conftest import take


def serve(queue: ferrymq.Queue) -> None:
    """Answers n with n * n until the broker is closed."""
    for request in queue:
        # Acked first: with the last reply the broker is closed.
        request.ack()
        request.reply(json=request.json() ** 2, headers={"from": queue.name})


def test_a_reply_comes_back(broker: ferrymq.Broker) -> None:
    squares = broker.queue("squares")
    server = threading.Thread(target=serve, args=(squares,))
    server.start()
    reply = squares.request(json=12, timeout=20, key="k")
    assert type(reply) is ferrymq.Message
    assert reply.json() == 144
    assert reply.headers == {"from": "squares"}
    assert reply.queue.startswith("ferrymq.reply.")
    broker.close()
    server.join()


def test_many_threads_ask_at_once(broker: ferrymq.Broker) -> None:
    squares = broker.queue("squares")
    servers = [threading.Thread(target=serve, args=(squares,)) for _ in range(2)]
    for server in servers:
        server.start()

    def ask(worker: int) -> None:
        for number in range(worker, 2000, 8):
            assert squares.request(json=number, timeout=60).json() == number**2

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(ask, range(8)))
    broker.close()
    for server in servers:
        server.join()


def test_a_request_carries_what_its_reply_needs(hand: ferrymq.testing.Broker) -> None:
    jobs = hand.queue("jobs")
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(jobs.request, "text", timeout=5, priority=0, content_type="a/b")
        request = jobs.consume(timeout=None)
        assert request is not None
        assert request.reply_to is not None
        assert request.correlation_id
        assert request.content_type == "a/b"
        request.reply("answer")
        request.ack()
        assert asked.result(20).text == "answer"
        # Nobody serves: the request expires with the patience of who asked.
        late = pool.submit(jobs.request, "nobody", timeout=5)
        while jobs.stats().ready == 0:
            pass
        hand.clock.advance(5)
        with pytest.raises(ferrymq.Unavailable, match="no reply came"):
            late.result(20)
        assert len(jobs) == 0


def test_requests_and_replies_that_cannot_be(hand: ferrymq.testing.Broker) -> None:
    jobs = hand.queue("jobs", capacity=1)
    request: Any = jobs.request
    for options in (
        {"delay": 1},
        {"reply_to": "q"},
        {"correlation_id": "1"},
        {"timeout": "1"},
    ):
        with pytest.raises(ferrymq.InvalidArgument):
            request("body", **options)
    with pytest.raises(TypeError):
        request("body", mandatory=True)
    with pytest.raises(ferrymq.InvalidArgument):
        jobs.request()
    jobs.produce("plain")
    with pytest.raises(ferrymq.QueueFull):
        jobs.request("no room", timeout=1)
    plain = take(jobs)
    with pytest.raises(ferrymq.InvalidArgument, match="reply_to"):
        plain.reply("?")
    plain.ack()
    jobs.produce("who asked is gone", reply_to="gone")
    orphan = take(jobs)
    with pytest.raises(ferrymq.NotFound):
        orphan.reply("?")
    orphan.ack()


def test_a_reply_may_go_to_any_queue(hand: ferrymq.testing.Broker) -> None:
    jobs, answers = hand.queue("jobs"), hand.queue("answers")
    jobs.produce("ping", reply_to="answers", correlation_id="mine")
    ping = take(jobs)
    ping.reply("pong", headers={"n": 1})
    ping.ack()
    pong = take(answers)
    assert (pong.text, pong.correlation_id, pong.headers) == ("pong", "mine", {"n": 1})
    pong.ack()


def test_closing_ends_a_request(broker: ferrymq.Broker) -> None:
    jobs = broker.queue("jobs")
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(jobs.request, "?", timeout=None)
        request = jobs.consume(timeout=None)
        assert request is not None
        broker.close()
        with pytest.raises(ferrymq.Closed):
            asked.result(20)


def test_through_asyncio() -> None:
    async def main() -> None:
        async with ferrymq.aio.open() as broker:
            squares = await broker.queue("squares")

            async def answer() -> None:
                async for request in squares:
                    await request.ack()
                    await request.reply(json=request.json() ** 2)

            server = asyncio.create_task(answer())
            replies = await asyncio.gather(
                *(squares.request(json=n, timeout=20) for n in range(200))
            )
            assert [reply.json() for reply in replies] == [n**2 for n in range(200)]
            # Cancelled: the reply that comes all the same is dropped, the next one is right.
            given_up = asyncio.create_task(squares.request(json=1000, timeout=None))
            await asyncio.sleep(0)
            given_up.cancel()
            assert (await squares.request(json=3, timeout=20)).json() == 9
            with pytest.raises(asyncio.CancelledError):
                await given_up
            await broker.close()
            await server

    asyncio.run(main())


def test_asyncio_times_out_by_the_engines_clock() -> None:
    async def main() -> None:
        with ferrymq.testing.open() as hand:
            jobs = await hand.aio.queue("jobs")
            asked = asyncio.create_task(jobs.request("?", timeout=1))
            await asyncio.sleep(0)
            assert await jobs.size() == 1
            hand.clock.advance(1)
            with pytest.raises(ferrymq.Unavailable):
                await asked

    asyncio.run(main())
