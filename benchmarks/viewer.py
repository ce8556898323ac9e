"""Is the page of all answers fluid with fifty thousand questions? Asked of a real browser.

    python benchmarks/viewer.py [--questions 50000] [--browser chromium] [--peer-python .venv-peers/bin/python]

Two models' answers to made-up questions are written as a page and opened from disk in a headless browser (playwright,
in the peers' environment): how long opening, filtering, searching and sorting take, and how many frames a second
scrolling shows. The texts are random words, which pack worse than real ones. Ends with one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def write(path: Path, count: int) -> float:
    """The page; how many seconds it took."""
    from tunesmith.evals.asking.ask import Trace
    from tunesmith.evals.records import Record
    from tunesmith.evals.viewer import write_viewer

    chance = random.Random(1)
    words = ["".join(chance.choices("abcdefghijklmnop", k=chance.randint(2, 9))) for _ in range(5000)]
    records, traces = [], []
    for seed, model in enumerate(("base", "tuned")):
        own = random.Random(seed)
        for i in range(count):
            mine = random.Random(i)
            prompt = " ".join(mine.choices(words, k=mine.randint(10, 60)))
            records.append(
                Record(
                    id=f"t{i % 40}/{i}", model=model, level="asked", format="instruction", shots=0,
                    metric="exact_match", task=f"t{i % 40}", cluster="c", template=f"t{i % 40}/w{i % 5}", language="en",
                    group=f"g{i}", prompt=prompt, answer=" ".join(own.choices(words, k=own.randint(1, 30))),
                    gold=(words[i % 5000],), value=float(own.random() < 0.5), finished=True,
                    leak="" if i % 7 else "near",
                )
            )  # fmt: skip
            said = tuple(f"{word} " for word in records[-1].answer.split())
            traces.append(Trace(model, 0, records[-1].id, tuple(f"{word} " for word in prompt.split()), said))
    began = time.perf_counter()
    write_viewer(path, "many", records, traces=traces)
    return time.perf_counter() - began


def look(page: str, browser: str) -> None:
    """The measurements, in the peers' environment."""
    from playwright.sync_api import sync_playwright

    scroll = """async () => {
        const list = $('list'), begun = performance.now();
        let frames = 0, worst = 0, last = begun;
        while (performance.now() - begun < 3000) {
            list.scrollTop += 2300;
            await new Promise((done) => requestAnimationFrame(done));
            const now = performance.now();
            worst = Math.max(worst, now - last); last = now; frames++;
        }
        return [frames / 3, worst];
    }"""
    with sync_playwright() as play:
        opened = play.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        tab = opened.new_page(viewport={"width": 1400, "height": 900})
        errors: list[str] = []
        tab.on("pageerror", lambda error: errors.append(str(error)))
        began = time.perf_counter()
        tab.goto(f"file://{page}")
        tab.wait_for_selector("body[data-ready]", timeout=120_000)
        found: dict[str, object] = {"open_s": round(time.perf_counter() - began, 2)}
        tab.click("#to-answers")
        tab.wait_for_selector("#seen .row")
        for name, act in {
            "differ_ms": "$('show').value = 'differ'; $('show').onchange()",
            "wrong_ms": "$('show').value = 'wrong:tuned'; $('show').onchange()",
            "all_ms": "$('show').value = ''; $('show').onchange()",
            "first_search_ms": "state.text = 'abc'; refresh(false)",
            "search_ms": "state.text = 'abd'; refresh(false)",
            "sort_ms": "state.text = ''; $('sort').value = 'least'; $('sort').onchange()",
            "next_ms": "select(20000)",
        }.items():
            timed = f"(() => {{ const t = performance.now(); {act}; return performance.now() - t }})()"
            found[name] = round(tab.evaluate(timed), 1)
        found["frames_a_second"], found["worst_frame_ms"] = (round(x, 1) for x in tab.evaluate(scroll))
        found["errors"] = errors
        opened.close()
    print(json.dumps(found))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, default=50_000)
    parser.add_argument("--browser", default=shutil.which("chromium") or shutil.which("google-chrome") or "chromium")
    parser.add_argument("--peer-python", default=str(ROOT / ".venv-peers/bin/python"))
    parser.add_argument("--look", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.look:
        look(args.look, args.browser)
        return
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "answers.html"
        seconds = write(page, args.questions)
        order = [args.peer_python, __file__, "--look", str(page), "--browser", args.browser]
        done = subprocess.run(order, capture_output=True, text=True)
        if done.returncode:
            sys.exit(done.stderr)
        size = page.stat().st_size / 1e6
    about = {
        "benchmark": "viewer",
        "questions": args.questions,
        "write_s": round(seconds, 1),
        "page_mb": round(size, 1),
    }
    print(json.dumps({**about, **json.loads(done.stdout)}))


if __name__ == "__main__":
    main()
