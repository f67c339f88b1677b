"""gevent and eventlet: a call that waits lets the other greenlets run.

Each case is a program of its own, because monkey-patching is for a whole process. `HUB` gives both
libraries the same few words. A program that blocks its hub would not end: it is killed, and fails.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

GEVENT = """
from gevent import monkey
monkey.patch_all()
import gevent
spawn, pause, kill = gevent.spawn, gevent.sleep, gevent.kill
def joined(greenlet): return greenlet.get()
native = monkey.get_original("_thread", "start_new_thread")
def in_pool(work):
    from gevent.threadpool import ThreadPool
    return ThreadPool(1).spawn(work).get()
"""

EVENTLET = """
import eventlet
eventlet.monkey_patch()
spawn, pause = eventlet.spawn, eventlet.sleep
def kill(greenlet): greenlet.kill()
def joined(greenlet): return greenlet.wait()
native = eventlet.patcher.original("_thread").start_new_thread
def in_pool(work):
    from eventlet import tpool
    return tpool.execute(work)
"""

COMMON = """
import threading, time
import ferrymq
broker = ferrymq.open()
jobs = broker.queue("jobs", capacity=1, overflow="block")
turns = []

def count():
    while True:
        turns.append(1)
        pause(0)

def until(condition):
    limit = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < limit
        pause(0)
"""

CASES = {
    "another greenlet runs while one consumes": """
consumer = spawn(lambda: jobs.consume(timeout=None))
until(lambda: broker.stats().waiting == 1)
spawn(count)
until(lambda: len(turns) > 10)
jobs.produce(b"from another greenlet")
with joined(consumer) as delivery:
    assert delivery.body == b"from another greenlet"
assert len(jobs) == 0
""",
    "a produce that waits for room": """
jobs.produce(b"first")
producer = spawn(lambda: jobs.produce(b"second"))
until(lambda: broker.stats().waiting == 1)
spawn(count)
until(lambda: len(turns) > 10)
jobs.consume().ack()
joined(producer)
with jobs.consume() as delivery:
    assert delivery.body == b"second"
""",
    "timeouts": """
spawn(count)
begun = time.monotonic()
assert jobs.consume(timeout=0.05) is None
waited = time.monotonic() - begun
assert waited >= 0.05, waited
assert len(turns) > 1
""",
    "a killed greenlet loses nothing and counts no attempt": """
consumer = spawn(lambda: jobs.consume(timeout=None))
until(lambda: broker.stats().waiting == 1)
kill(consumer)
until(lambda: broker.stats().waiting == 0)
jobs.produce(b"kept")
with jobs.consume() as delivery:
    assert (delivery.attempt, delivery.redelivered) == (1, False)
# Killed when the answer was on its way already: it is given back.
consumer = spawn(lambda: jobs.consume(timeout=None))
until(lambda: broker.stats().waiting == 1)
jobs.produce(b"given back")
kill(consumer)
pause(0)
with jobs.consume(timeout=5) as delivery:
    assert delivery.attempt == 1
assert jobs.stats().leased == 0
""",
    "a wake-up from a native thread": """
done = []
def produce(turn):
    jobs.produce(b"%d" % turn)
    done.append(turn)
for turn in range(200):
    consumer = spawn(lambda: jobs.consume(timeout=None, auto_ack=True))
    until(lambda: broker.stats().waiting == 1)
    native(produce, (turn,))
    assert joined(consumer).body == b"%d" % turn
# An interpreter that ends stops such a thread wherever it is.
until(lambda: len(done) == 200)
""",
    "many greenlets, requests and replies": """
squares = broker.queue("squares")
def serve():
    for request in squares:
        request.ack()
        request.reply(json=request.json() ** 2)
server = spawn(serve)
def ask(n):
    assert squares.request(json=n, timeout=20).json() == n * n
askers = [spawn(ask, n) for n in range(100)]
for asker in askers:
    joined(asker)
broker.close()
joined(server)
""",
    "handlers that wait let each other run": """
seen, inside, most = [], [], []
def handler(delivery):
    inside.append(1)
    pause(0.01)
    most.append(len(inside))
    inside.pop()
    seen.append(delivery.body)
jobs.alter(overflow="reject", capacity=None)
spawn(count)
subscription = jobs.subscribe(handler, concurrency=3)
bodies = [b"%d" % number for number in range(9)]
jobs.produce_many(bodies)
until(lambda: len(seen) == 9)
assert subscription.stop(timeout=20)
assert sorted(seen) == bodies
assert max(most) == 3, "three handlers ran at a time"
assert len(turns) > 10
assert len(jobs) == 0
bus = broker.bus()
with bus.subscribe("order.*", handler):
    bus.publish("order.new", b"event")
    until(lambda: seen[-1] == b"event")
# A handler that is in the middle of its work finishes it.
late = jobs.subscribe(handler)
jobs.produce(b"late")
until(lambda: inside)
assert late.stop(timeout=20)
assert seen[-1] == b"late"
""",
    "a forked child has wake-ups of its own": """
import os
import ferrymq._hubs as hubs
def pipes():
    wakers = [waker for waker in hubs._wakers.values() if hasattr(waker, "read_end")]
    return {os.fstat(waker.read_end).st_ino for waker in wakers}
assert jobs.consume(timeout=0.01) is None
of_parent = pipes()
child = os.fork()
if child == 0:
    try:
        jobs.consume()
    except ferrymq.ForkError:
        pass
    else:
        os._exit(1)
    broker = ferrymq.open()
    jobs = broker.queue("jobs")
    consumer = spawn(lambda: jobs.consume(timeout=20))
    until(lambda: broker.stats().waiting == 1)
    jobs.produce(b"child")
    if joined(consumer).body != b"child":
        os._exit(2)
    # Read by two, a pipe would wake the wrong one.
    os._exit(3 if pipes() & of_parent else 0)
assert os.waitpid(child, 0)[1] == 0
consumer = spawn(lambda: jobs.consume(timeout=20))
until(lambda: broker.stats().waiting == 1)
jobs.produce(b"parent")
joined(consumer).ack()
""",
    "log lines and alarms are told in the hub": """
import logging
class Slow(logging.Handler):
    lines = []
    def emit(self, record):
        # Others want the handler's lock meanwhile.
        pause(0.001)
        self.lines.append(record.getMessage())
logging.getLogger().addHandler(Slow())
rang = threading.Event()
jobs.alter(overflow="reject")
alarm = broker.alarm(lambda alert: rang.set(), above=0)
jobs.produce(b"")
assert rang.wait(20), "an alarm sets an event that a greenlet waits for"
def chat():
    for turn in range(50):
        logging.warning("chat")
        pause(0)
talkers = [spawn(chat) for _ in range(4)]
brokers = [ferrymq.open() for _ in range(10)]
for other in brokers:
    full = other.queue("full", capacity=1)
    full.produce(b"")
    try:
        full.produce(b"")
    except ferrymq.QueueFull:
        pass
for talker in talkers:
    joined(talker)
until(lambda: len([line for line in Slow.lines if "was full" in line]) == 10)
assert Slow.lines.count("chat") == 200
""",
    "threads that are not patched wait as threads": """
def work():
    jobs.produce(b"x")
    return jobs.consume(timeout=1).body
assert in_pool(work) == b"x"
""",
}


@pytest.mark.parametrize("hub", [GEVENT, EVENTLET], ids=["gevent", "eventlet"])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_hub(hub: str, case: str) -> None:
    program = f"{hub}{COMMON}{case}\nprint('done')\n"
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout == "done\n"


@pytest.mark.parametrize("hub", [GEVENT, EVENTLET], ids=["gevent", "eventlet"])
def test_who_blocks_the_hub_is_seen(hub: str) -> None:
    """The alarm rings: a wait that does not go through the hub stops the other greenlets."""
    case = """
import ferrymq._hubs
ferrymq._hubs.waiting = lambda: None
spawn(count)
assert jobs.consume(timeout=0.05) is None
assert len(turns) > 1, "the hub stood still"
"""
    program = f"{hub}{COMMON}{case}"
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode != 0
    assert "the hub stood still" in ran.stderr
