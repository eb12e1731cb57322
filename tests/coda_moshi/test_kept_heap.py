from __future__ import annotations

import resource
import subprocess
import sys

import torch

from coda_moshi.kept_heap import give_back, keep_heap

_ROUNDS = """
import resource, threading, torch
from coda_moshi.kept_heap import keep_heap

def faults():
    return resource.getrusage(resource.RUSAGE_THREAD).ru_minflt

def step():
    held = [torch.ones(2**18) for _ in range(20)]
    del held

def work():
    for _ in range(10):
        step()
    before = faults()
    for _ in range(20):
        step()
    print(faults() - before)

keep_heap(torch.device("cpu"))
thread = threading.Thread(target=work)
thread.start()
thread.join()
"""


def test_what_a_step_frees_is_not_asked_of_the_system_again() -> None:
    ran = subprocess.run([sys.executable, "-c", _ROUNDS], capture_output=True, text=True, check=True)
    pages_of_a_step = 20 * 2**20 // resource.getpagesize()
    assert int(ran.stdout) < pages_of_a_step


def test_a_gpu_changes_nothing_on_the_host() -> None:
    keep_heap(torch.device("cuda"))
    give_back(torch.device("cuda"))
