"""What the machine can do at best: matrix products a second, and bytes moved a second.

    python -m benchmarks.training.ceilings [--threads 2] [--device cpu]

The best of several rounds counts: a ceiling that other work on the machine lowered would flatter candidates.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import torch

Precision = Literal["fp32", "bf16"]
DTYPES: dict[Precision, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16}
ROUNDS = 10
COPIED_BYTES = 2**29
"""Source and target together exceed the largest caches."""


@dataclass(frozen=True, kw_only=True)
class Ceilings:
    """Of one device, at a number of threads."""

    device: str
    threads: int
    products: dict[str, dict[Precision, float]]
    """By shape: GFLOP/s."""
    copy_gb: float
    """GB/s of a copy, read and written bytes together."""

    @property
    def gflops(self) -> dict[Precision, float]:
        """Of the shape that is best at each precision."""
        return {name: max(shape[name] for shape in self.products.values()) for name in DTYPES}


def measure_ceilings(
    device: torch.device,
    threads: int,
    *,
    patches: int = 8192,
    features: int = 1024,
    width: int = 256,
    square: int | None = None,
    copied_bytes: int = COPIED_BYTES,
    rounds: int = ROUNDS,
) -> Ceilings:
    """Products in the shapes of the work (forward, and gradient of the weights) and a large square one."""
    torch.set_num_threads(threads)
    side = square or (8192 if device.type == "cuda" else 2048)
    shapes = {
        f"[{patches}, {features}] x [{features}, {width}]": (patches, features, width),
        f"[{features}, {patches}] x [{patches}, {width}]": (features, patches, width),
        f"[{side}, {side}] x [{side}, {side}]": (side, side, side),
    }
    return Ceilings(
        device=name_of(device),
        threads=threads,
        products={
            shape: {
                precision: _product_gflops(sizes, dtype, device, rounds)
                for precision, dtype in DTYPES.items()
            }
            for shape, sizes in shapes.items()
        },
        copy_gb=_copy_gb(device, copied_bytes, rounds),
    )


def highest(one: Ceilings, other: Ceilings) -> Ceilings:
    """The better of two measurements of the same machine, number by number."""
    return replace(
        one,
        products={
            shape: {name: max(one.products[shape][name], other.products[shape][name]) for name in DTYPES}
            for shape in one.products
        },
        copy_gb=max(one.copy_gb, other.copy_gb),
    )


def name_of(device: torch.device) -> str:
    """The processor's or the card's own name."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    except OSError:
        models = []
    return models[0] if models else "CPU"


def _product_gflops(
    sizes: tuple[int, int, int], dtype: torch.dtype, device: torch.device, rounds: int
) -> float:
    rows, inner, columns = sizes
    left = torch.randn(rows, inner, device=device).to(dtype)
    right = torch.randn(inner, columns, device=device).to(dtype)
    out = torch.empty(rows, columns, device=device, dtype=dtype)
    seconds = _fastest(lambda: torch.mm(left, right, out=out), device, rounds)
    return 2 * rows * inner * columns / seconds / 1e9


def _copy_gb(device: torch.device, size: int, rounds: int) -> float:
    source = torch.randn(size // 4, device=device)
    target = torch.zeros_like(source)
    return 2 * size / _fastest(lambda: target.copy_(source), device, rounds) / 1e9


def _fastest(run: Callable[[], object], device: torch.device, rounds: int) -> float:
    best = math.inf
    for _ in range(rounds + 1):  # the first one warms up
        synchronise(device)
        began = time.perf_counter()
        run()
        synchronise(device)
        best = min(best, time.perf_counter() - began)
    return best


def synchronise(device: torch.device) -> None:
    """Wait until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="cpu")
    asked = parser.parse_args()
    found = measure_ceilings(torch.device(asked.device), asked.threads)
    print(f"{found.device}, {found.threads} threads")
    for shape, by_precision in found.products.items():
        print(f"{shape}: " + ", ".join(f"{name} {rate:,.0f} GFLOP/s" for name, rate in by_precision.items()))
    print(f"copy: {found.copy_gb:,.1f} GB/s, read and write")


if __name__ == "__main__":
    main()
