"""Measure tiles a second of tile encoders, and the share of what the machine does in matrix products.

    python benchmarks/encode.py [--encoder colour-texture uni2 ...] [--architecture tiny vit_large_patch16_224 ...]
        [--batch 16 64] [--precision fp32 bf16] [--device auto] [--compile] [--seconds 3]

An encoder is loaded with its weights. An architecture has random ones: "tiny" is a small ViT of transformers, any
other name one of timm's. The ceiling is a square matrix product in the same precision, in the same run; the work of
a tile is counted by torch (multiplications and additions of its matrix products and convolutions).
"""

from __future__ import annotations

import argparse
import json
import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from kemm.modalities.slides import TILE_ENCODERS, TileEncoder, TileEncoderConfig
from kemm.modalities.slides.encoders.by_timm import import_timm
from kemm.modalities.slides.encoders.by_transformers import import_transformers
from kemm.modalities.slides.encoders.device import choose_device, choose_precision
from kemm.modalities.slides.encoders.pretrained import Pretrained

TYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


def saved_architecture(name: str, folder: Path) -> str:
    """Save it with random weights; the library that loads it."""
    torch.manual_seed(0)
    if name == "tiny":
        transformers = import_transformers()
        transformers.utils.logging.disable_progress_bar()
        config = transformers.ViTConfig(
            hidden_size=192, num_hidden_layers=12, num_attention_heads=3, intermediate_size=768
        )
        transformers.ViTModel(config).save_pretrained(folder)
        return "transformers"
    timm = import_timm()
    model = timm.create_model(name, pretrained=False, num_classes=0)
    timm.models.save_for_hf(model, str(folder), safe_serialization=True)
    return "timm"


def rate(work: Callable[[], object], seconds: float, device: torch.device) -> float:
    """Calls a second, once warm; the best of three parts, for others may use the machine."""

    def wait() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    work()
    wait()
    best = 0.0
    for _ in range(3):
        calls, started = 0, time.perf_counter()
        while time.perf_counter() - started < seconds / 3:
            work()
            wait()
            calls += 1
        best = max(best, calls / (time.perf_counter() - started))
    return best


def matmul_flops(precision: str, device: torch.device, seconds: float) -> float:
    """Multiplications and additions a second of a large matrix product."""
    side = 8192 if device.type == "cuda" else 2048
    one, other = (torch.randn(side, side, device=device, dtype=TYPES[precision]) for _ in range(2))
    with torch.inference_mode():
        return rate(lambda: one @ other, seconds, device) * 2 * side**3


def flops_a_tile(encoder: TileEncoder) -> int:
    if not isinstance(encoder, Pretrained):
        return 0
    images = torch.zeros(1, 3, encoder.tile_px, encoder.tile_px, device=encoder.device)
    # Fused attention is not counted on every device.
    with torch.inference_mode(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        encoder._module(images)
    return int(counter.get_total_flops())


def measured(config: TileEncoderConfig, label: str, ceiling: float, seconds: float) -> dict[str, Any]:
    encoder = TILE_ENCODERS[config.name](config)
    side, count = encoder.tile_px, config.batch * (4 if choose_device(config).type == "cuda" else 1)
    tiles = np.random.default_rng(0).integers(0, 256, (count, side, side, 3), dtype=np.uint8)
    tiles_a_second = rate(lambda: encoder.encode(tiles), seconds, choose_device(config)) * count
    work = flops_a_tile(encoder)
    return {
        "encoder": label,
        "precision": config.precision if work else "-",
        "batch": config.batch,
        "tiles_a_second": round(tiles_a_second, 1),
        "gflops_a_tile": round(work / 1e9, 2),
        "share_of_matmul": round(tiles_a_second * work / ceiling, 3) if work else None,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--encoder", nargs="*", default=["colour-texture"])
    parser.add_argument("--architecture", nargs="*", default=["tiny"])
    parser.add_argument("--batch", nargs="+", type=int, default=[16, 64])
    parser.add_argument("--precision", nargs="+", default=["auto"])
    parser.add_argument("--device", default="auto")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--seconds", type=float, default=3.0)
    asked = parser.parse_args()

    device = choose_device(TileEncoderConfig(device=asked.device))
    named = (
        torch.cuda.get_device_name(device)
        if device.type == "cuda"
        else (platform.processor() or platform.machine())
    )
    print(
        json.dumps(
            {
                "device": str(device),
                "name": named,
                "threads": torch.get_num_threads(),
                "torch": torch.__version__,
            }
        )
    )
    with tempfile.TemporaryDirectory() as scratch:
        wanted: list[tuple[str, str, str | None]] = [(name, name, None) for name in asked.encoder]
        for name in asked.architecture:
            folder = Path(scratch, name)
            folder.mkdir()
            wanted.append((name, saved_architecture(name, folder), str(folder)))
        for word in asked.precision:
            precision = choose_precision(TileEncoderConfig(precision=word), device)
            ceiling = matmul_flops(precision, device, asked.seconds)
            print(json.dumps({"matmul": precision, "tflops": round(ceiling / 1e12, 3)}))
            for label, name, model in wanted:
                for batch in asked.batch:
                    config = TileEncoderConfig(
                        name=name,
                        model=model,
                        device=asked.device,
                        precision=precision,
                        batch=batch,
                        compile=asked.compile,
                    )
                    print(json.dumps(measured(config, label, ceiling, asked.seconds)), flush=True)


if __name__ == "__main__":
    main()
