from __future__ import annotations

import resource
import subprocess
import sys

import torch

from coda_moshi.kept_heap import give_back, keep_heap

_ROUNDS = """
import resource, threading, torch
from coda_moshi.kept_heap import keep_heap

def step(megabytes):
    held = [torch.ones(2**18) for _ in range(megabytes)]
    del held

def work():
    faults = 0
    for megabytes in (20, 40, 100):
        for number in range(30):
            before = resource.getrusage(resource.RUSAGE_THREAD).ru_minflt
            step(megabytes)
            if number >= 10:
                faults += resource.getrusage(resource.RUSAGE_THREAD).ru_minflt - before
    print(faults)

keep_heap(torch.device("cpu"))
thread = threading.Thread(target=work)
thread.start()
thread.join()
"""


def test_what_a_step_frees_is_not_asked_of_the_system_again() -> None:
    ran = subprocess.run([sys.executable, "-c", _ROUNDS], capture_output=True, text=True, check=True)
    assert int(ran.stdout) < 20 * 2**20 // resource.getpagesize()


def test_a_gpu_changes_nothing_on_the_host() -> None:
    keep_heap(torch.device("cuda"))
    give_back(torch.device("cuda"))
