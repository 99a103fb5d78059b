# The peer DBOS: a workflow of four no-op steps, from PyPI's `dbos`. Prints one line of JSON.
#
#     python dbos_peer.py DATABASE_URL linear4 WORKFLOWS       one at a time, milliseconds
#     python dbos_peer.py DATABASE_URL queue WORKFLOWS         steps a second: all enqueued first, then drained by
#                                                              a queue with worker_concurrency 10
#     python dbos_peer.py DATABASE_URL threads WORKFLOWS       ... called from 10 threads
#     python dbos_peer.py DATABASE_URL start WORKFLOWS         ... all given to start_workflow, 10 executor threads
#     python dbos_peer.py DATABASE_URL coroutines WORKFLOWS    ... called from 10 coroutines

import asyncio
import json
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from dbos import DBOS

CONCURRENCY = 10
STEPS = 4

url, mode, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
config = {"name": "peer", "system_database_url": url, "log_level": "ERROR"}
if mode == "start":
    config["max_executor_threads"] = CONCURRENCY
DBOS(config=config)

ended = 0
all_ended = threading.Event()
counting = threading.Lock()


@DBOS.step()
def no_op(number):
    return None


@DBOS.workflow()
def linear4(number):
    for _ in range(STEPS):
        no_op(number)


@DBOS.workflow()
def counted(number):
    global ended
    for _ in range(STEPS):
        no_op(number)
    with counting:
        ended += 1
        if ended == count:
            all_ended.set()


@DBOS.step()
async def async_no_op(number):
    return None


@DBOS.workflow()
async def async_linear4(number):
    for _ in range(STEPS):
        await async_no_op(number)


# The workflow's record of success follows its function.
def await_success():
    all_ended.wait()
    while DBOS.list_workflows(status=["PENDING", "ENQUEUED"], limit=1, name=counted.__qualname__):
        time.sleep(0.002)


def queue():
    # None dequeues while they are enqueued: the queue listens only after.
    line = DBOS.register_queue("held", worker_concurrency=0, polling_interval_sec=0.002)
    for number in range(count):
        line.enqueue(counted, number)
    began = time.monotonic()
    line.set_worker_concurrency(CONCURRENCY)
    await_success()
    return time.monotonic() - began


def threads():
    began = time.monotonic()
    with ThreadPoolExecutor(CONCURRENCY) as pool:
        list(pool.map(linear4, range(count)))
    return time.monotonic() - began


def start():
    began = time.monotonic()
    handles = [DBOS.start_workflow(counted, number) for number in range(count)]
    await_success()
    return time.monotonic() - began


async def coroutines():
    numbers = iter(range(count))

    async def one():
        for number in numbers:
            await async_linear4(number)

    began = time.monotonic()
    await asyncio.gather(*[one() for _ in range(CONCURRENCY)])
    return time.monotonic() - began


def latencies():
    sample = []
    for number in range(count + 20):
        began = time.monotonic()
        linear4(number)
        sample.append((time.monotonic() - began) * 1000)
    sample = sorted(sample[20:])
    return {"p50_ms": sample[len(sample) // 2], "p99_ms": sample[int(len(sample) * 0.99)]}


DBOS.launch()
if mode == "linear4":
    figures = latencies()
else:
    linear4(0)
    seconds = asyncio.run(coroutines()) if mode == "coroutines" else globals()[mode]()
    figures = {"steps_per_s": count * STEPS / seconds}
DBOS.destroy()
print(json.dumps(figures))
