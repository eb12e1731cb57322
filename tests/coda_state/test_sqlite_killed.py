"""The sqlite store in a process that is killed at any moment, again and again.

CODA_TEST_KILLS=1000 sets how often.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

Child = Callable[..., subprocess.Popen[str]]

NURSERY = """
import itertools, json, logging, os, random, select, signal, struct, sys
from pathlib import Path
from coda_core.events import Fault
from coda_core.state import Snapshot
from coda_core.text import ExtractedText
from coda_state.sqlite import SqliteStore

path, rounds = Path(sys.argv[1]), int(sys.argv[2])
draw = random.Random(rounds)
ACK = struct.Struct("<qq")

def opened():
    store = SqliteStore(path, 30.0, logging.getLogger("coda.test"))
    store.open()
    return store

def event(name, number):
    if number % 20 == 0:
        return Snapshot(conversation=name, sequence=number)
    if number % 3:
        return ExtractedText(conversation=name, sequence=number, text=f"word{number}", start_s=number * 0.3,
                             end_s=number * 0.3 + 0.2, confidence=0.5)
    return Fault(conversation=name, sequence=number, message=name * 300)

def live(numbers, pipe, first):
    store = opened()
    put = 0
    for turn in itertools.count(first):
        length = (1, 2, 9)[turn % 3]
        store.append([event(name, numbers[name] + at) for at in range(1, length + 1) for name in numbers])
        for name in numbers:
            numbers[name] += length
        os.write(pipe, ACK.pack(numbers["a"], put))
        if turn % 7 == 3:
            store.put_blob("a", "state", [ACK.pack(numbers["a"], 0)])
            put = numbers["a"]
            os.write(pipe, ACK.pack(numbers["a"], put))
        if turn % 11 == 5:
            store.append([Fault(conversation="scratch", sequence=1)])
            store.delete("scratch")
        if turn % 5 == 4:
            store.trim("c", events=50, snapshots=2)

def killed(numbers):
    reading, writing = os.pipe()
    first = draw.randint(0, 76)  # so that a short life, too, comes to whatever is done now and then
    pid = os.fork()
    if pid == 0:
        live(dict(numbers), writing, first)
    os.close(writing)
    acknowledged = b""
    patience = draw.choice((0.0, 0.01, 0.03))
    left = draw.randint(0, 4)
    while left and select.select([reading], [], [], 5.0)[0]:
        acknowledged += os.read(reading, ACK.size)
        left -= 1
    select.select([], [], [], patience * draw.random())
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    while more := os.read(reading, 4096):
        acknowledged += more
    os.close(reading)
    return list(ACK.iter_unpack(acknowledged))

numbers = dict.fromkeys("abc", 0)
blob = beyond = acks = 0
for _ in range(rounds):
    told = killed(numbers)
    acks += len(told)
    store = opened()
    known = numbers["a"]
    last = max([known, *(number for number, _ in told)])
    blob = max([blob, *(put for _, put in told)])
    for name in numbers:
        new = [event.sequence for event in store.events(name, known)]
        row = next((row for row in store.find() if row.conversation == name), None)
        numbers[name] = row.last_sequence if row else 0
        if name != "c":
            assert new == list(range(known + 1, numbers[name] + 1)), (name, known, new)
        assert last <= numbers[name] <= last + 9, (name, last, numbers[name])
        if row:
            assert row.events == len(list(store.events(name))) if name == "c" else row.events == row.last_sequence
            assert row.events + row.dropped_events + row.dropped_snapshots == row.last_sequence
    assert len(set(numbers.values())) == 1, numbers
    beyond += numbers["a"] - last
    if blob:
        ((stored, _),) = ACK.iter_unpack(b"".join(store.get_blob("a", "state")))
        assert stored >= blob
    assert {row.conversation for row in store.find(unfinished=True)} - {"scratch"} == {*numbers} if last else True
    store.close()

store = opened()
for name in "ab":
    assert [event.sequence for event in store.events(name)] == list(range(1, numbers[name] + 1))
for name in numbers:
    said = [word.text for passage in store.passages(name) for word in passage.words]
    assert said == [f"word{at}" for at in range(1, numbers[name] + 1) if at % 20 and at % 3], name
(check,) = store._session.read("PRAGMA integrity_check")
store.close()
print(json.dumps({"rounds": rounds, "acknowledged": acks, "check": check[0], "events": numbers["a"]}))
"""


def test_all_that_was_acknowledged_is_there_in_order_and_once(child: Child, path: Path) -> None:
    rounds = int(os.environ.get("CODA_TEST_KILLS", "200"))
    process = child(NURSERY, path, rounds)
    output, _ = process.communicate()
    assert process.returncode == 0
    told = json.loads(output)
    assert (told["rounds"], told["check"]) == (rounds, "ok")
    assert told["acknowledged"] > rounds
    assert {file.name for file in path.parent.iterdir()} == {path.name}
