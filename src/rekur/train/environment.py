"""What a run was made on: losses are the same bits only where these are the same."""

import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from rekur import __version__


def environment() -> dict[str, Any]:
    """Machine, processor, threads, and the versions of Python, torch and rekur."""
    return {
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "processor": _processor(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "rekur": __version__,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown"


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What has changed since a run was begun, in words: its losses may differ in their last digits."""
    return [
        f"{key} was {before.get(key)} when the run was begun and is {now[key]} now: "
        "losses may differ in their last digits from those of a run that was never stopped"
        for key in now
        if before.get(key) != now[key]
    ]
