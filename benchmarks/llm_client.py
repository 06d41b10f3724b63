"""Measure how close the client keeps a slow server to as many questions as it may have at once.

    python benchmarks/llm_client.py [--calls 512] [--concurrency 64] [--latency 1.0] [--characters 10000] [--reports]

With --reports, each question is a whole pathology report in its closed form, masked before and checked after, as
`kemm refine` does it. A local server, in a process of its own, answers each question after the latency. The ideal is
calls / concurrency * latency seconds. Memory is this process's, with the journal and the libraries.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

from kemm.core.types import CaseId
from kemm.llm import Answer, Client, Journal, LLMConfig, Message, Question, make_backend
from kemm.modalities.reports import RefinedReport
from kemm.modalities.reports.by_model import refine_by_model

SCHEMA = {"type": "object", "properties": {"grade": {"type": "integer"}}, "required": ["grade"]}


PROSE = (
    "Clear cell renal cell carcinoma of the left kidney. Fuhrman nuclear grade: 3. Renal vein invasion is not identified. "
    "The perinephric fat is free of tumor. Sections show sheets of cells with clear cytoplasm. "
)
CLAIMS = {
    "grade": {"value": "3", "quote": "Fuhrman nuclear grade: 3"},
    "renal_vein_invasion": {"value": "absent", "quote": "Renal vein invasion is not identified"},
    "laterality": {"value": "left", "quote": "left kidney"},
}


def serve(told: Connection, latency: float, content: str) -> None:
    """Answer each request after the latency, until killed."""
    message = {"role": "assistant", "content": content}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    usage = {"prompt_tokens": 2500, "completion_tokens": 8}
    body = json.dumps({"model": "slow-1", "choices": [choice], "usage": usage}).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    response = head.encode() + body

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                asked = await reader.readuntil(b"\r\n\r\n")
                length = next(
                    int(line.split(b":")[1])
                    for line in asked.split(b"\r\n")
                    if line.lower().startswith(b"content-length:")
                )
                await reader.readexactly(length)
                await asyncio.sleep(latency)
                writer.write(response)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def run() -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", 0, backlog=1024)
        told.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(run())


def questions(calls: int, characters: int) -> Iterator[tuple[str, Question]]:
    system = Message("system", "What is the grade?")
    for number in range(calls):
        text = f"Report {number}. ".ljust(characters, "x")
        yield str(number), Question((system, Message("user", text)), SCHEMA)


async def ask(config: LLMConfig, journal: Path, calls: int, characters: int) -> tuple[float, int]:
    """Seconds, and how many were answered."""
    started, answered = time.perf_counter(), 0
    with Journal(journal) as opened:
        async with Client(make_backend(config), opened, config) as client:
            async for _, result in client.ask_all(questions(calls, characters)):
                answered += isinstance(result, Answer)
    return time.perf_counter() - started, answered


async def refine(config: LLMConfig, journal: Path, calls: int, characters: int) -> tuple[float, int]:
    """The same for reports; answered are those of which each claim was verified."""
    text = (PROSE * (1 + characters // len(PROSE)))[:characters]
    reports = ((CaseId(str(number)), f"Report {number}. {text}", "KIRC") for number in range(calls))
    started, answered = time.perf_counter(), 0
    with Journal(journal) as opened:
        async with Client(make_backend(config), opened, config) as client:
            async for _, result in refine_by_model(client, reports, ()):
                answered += isinstance(result, RefinedReport) and len(result.statements) == len(CLAIMS)
    return time.perf_counter() - started, answered


def peak_memory() -> float:
    """Of this process so far, in MB."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / 1e6 if sys.platform == "darwin" else most / 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--calls", type=int, default=512)
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--latency", type=float, default=1.0)
    parser.add_argument("--characters", type=int, default=10_000)
    parser.add_argument("--reports", action="store_true")
    chosen = parser.parse_args()
    work = refine if chosen.reports else ask
    content = json.dumps({"fields": CLAIMS, "sentences": []}) if chosen.reports else '{"grade": 2}'
    here, there = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(
        target=serve, args=(there, chosen.latency, content), daemon=True
    )
    server.start()
    try:
        url = f"http://127.0.0.1:{here.recv()}/v1"
        config = LLMConfig(model="slow", base_url=url, concurrency=chosen.concurrency)
        with tempfile.TemporaryDirectory() as folder:
            journal = Path(folder) / "journal.sqlite"
            # The libraries are imported and the connections made once, before memory and time are taken.
            asyncio.run(work(config, Path(folder) / "first.sqlite", 1, chosen.characters))
            before = peak_memory()
            asked = asyncio.run(work(config, journal, chosen.calls, chosen.characters))
            after = peak_memory()
            again = asyncio.run(work(config, journal, chosen.calls, chosen.characters))
            size = journal.stat().st_size / 1e6
    finally:
        server.terminate()
    if asked[1] != chosen.calls or again[1] != chosen.calls:
        sys.exit(f"only {asked[1]} and {again[1]} of {chosen.calls} questions were answered")
    ideal = chosen.calls / chosen.concurrency * chosen.latency
    what = "reports" if chosen.reports else "calls"
    print(
        f"{chosen.calls} {what} of {chosen.characters} characters, {chosen.concurrency} at once, each {chosen.latency:g} s:"
    )
    print(f"  asked     {asked[0]:.2f} s, {ideal / asked[0]:.1%} of the ideal rate ({ideal:.2f} s)")
    print(f"  replayed  {again[0]:.2f} s, {chosen.calls / again[0]:.0f} answers a second")
    print(f"  memory    {after:.0f} MB at most, {after - before:.1f} MB more than before the first question")
    print(f"  journal   {size:.2f} MB")


if __name__ == "__main__":
    main()
