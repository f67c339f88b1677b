"""The documents' programs run, each by itself, and print what they set out to print."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAMS = Path(__file__).parents[2] / "examples" / "documents"

# Lines as patterns, because some carry the engine's own wording.
PRINTED = {
    "fusion/ring.py": [
        r"30 steps, 13 in, 13 out: the formulas hold",
        r"head 3, tail 3, size 0, capacity 5",
    ],
    "fusion/hello.py": [r" \[x\] Sent 'Hello World!'", r" \[x\] Received 'Hello World!'"],
    "fusion/topic.py": [
        r" \[x\] Sent 'Hello Kafka!'",
        r"test-topic:0:1:'Hello, Kafka!'",
        r"test-topic:0:3:'Hello Kafka!'",
    ],
    "asynchrony/classes.py": [
        r"Produced message: Hello, World!",
        r"Consumed message: Hello, World!",
        r"Nothing to consume",
    ],
    "events/hello.py": [
        r" \[x\] Sent 'Hello World!'",
        r" \[!\] the service behind is away: back to the queue",
        r" \[x\] Received 'Hello World!' \(attempt 2\)",
    ],
    "events/events.py": [
        r"published order.created to 2 subscriptions",
        r"published order.paid to 2 subscriptions",
        r"published stock.low to 1 subscriptions",
        r'audit handled order.created {"id":7}',
        r'audit handled order.paid {"id":7}',
        r'audit handled stock.low {"article":"tea"}',
        r'billing handled order.created {"id":7}',
        r'billing handled order.paid {"id":7}',
    ],
    "concepts/hello.py": [r" \[x\] Sent 'Hello World!'", r" \[x\] Received 'Hello World!'"],
    "services/json_messages.py": [
        r" \[x\] Sent {'name': 'John', 'message': 'Hello World!'}",
        r" \[\*\] A receiver that never acks, as in the document",
        r' \[x\] Received {"name":"John","message":"Hello World!"} \(attempt 1\)',
        r" \[\.\] John: Hello World!",
        r" \[\*\] Its lease has ended: the message is back, and this ack comes too late",
        r" \[\*\] A receiver that handles what can go wrong",
        r' \[x\] Received {"name":"John","message":"Hello World!"} \(attempt 2\)',
        r" \[\.\] John: Hello World!",
        r" \[x\] Received {'name': 'John'} \(attempt 1\)",
        r" \[!\] malformed: InvalidArgument",
        r' \[x\] Received {"name":"John"} \(attempt 1\)',
        r" \[!\] malformed: KeyError",
        r' \[x\] Received \["no","object"\] \(attempt 1\)',
        r" \[!\] malformed: TypeError",
        r" \[!\] {'name': 'John'}: malformed: the body of message 2 is no JSON .*",
        r""" \[!\] {"name":"John"}: malformed: 'message'""",
        r' \[!\] \["no","object"\]: malformed: .*',
    ],
    "services/formats.py": [
        r"text/plain; charset=utf-8: Hello World!",
        r"application/xml: John: Hello World!",
        r"application/json: John: Hello World!",
        r"application/octet-stream: sensor 7: 21\.5 degrees",
        r"application/unknown: no reader",
    ],
    "services/watching.py": [
        r"ALARM orders: above 2, found 3",
        r"order 0",
        r'ferrymq_queue_ready{queue="orders"} 2',
        r'ferrymq_queue_acked_total{queue="orders"} 1',
        r"WARNING ferrymq: queue 'orders': 1 messages were dead-lettered \(rejected\)",
    ],
}


@pytest.mark.parametrize("program", PRINTED)
def test_program(program: str) -> None:
    ran = subprocess.run(
        [sys.executable, PROGRAMS / program],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    lines, patterns = ran.stdout.splitlines(), PRINTED[program]
    assert len(lines) == len(patterns), ran.stdout
    for line, pattern in zip(lines, patterns, strict=True):
        assert re.fullmatch(pattern, line), ran.stdout


def test_every_program_is_run_and_stands_in_the_table() -> None:
    table = (PROGRAMS / "README.md").read_text(encoding="utf-8")
    files = {path.relative_to(PROGRAMS).as_posix() for path in PROGRAMS.rglob("*.py")}
    roles = {"events/publisher.py", "events/subscriber.py"}
    assert files - roles == set(PRINTED)
    assert all(f"]({file})" in table for file in files)


def test_every_program_names_its_document_and_section() -> None:
    for path in PROGRAMS.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert re.search(r'Document: "[^"]+",\s+section', text), path
