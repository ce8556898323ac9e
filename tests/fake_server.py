"""A server that speaks OpenAI's language, with a small model behind it, and faults to order."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
from transformers import PreTrainedModel

from tunesmith.chat import ChatFormat
from tunesmith.core.types import Message
from tunesmith.models.generate import generate, rank_options

Fault = Callable[[str, dict[str, Any]], "tuple[int, dict[str, str], Any] | None"]
"""Path and body to status, headers and reply; None answers as usual, status 0 hangs up."""


class Behind:
    """What stands behind the server, and what it was asked."""

    def __init__(self, model: PreTrainedModel | None, fmt: ChatFormat, names: list[str], fault: Fault | None) -> None:
        self.model, self.fmt, self.names, self.fault = model, fmt, names, fault
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.keys: set[str] = set()
        self.lock = threading.Lock()
        self.most = self.now = 0
        """How many requests were there at once."""

    def reply(self, path: str, body: dict[str, Any]) -> Any:
        if path == "/v1/models":
            return {"data": [{"id": name} for name in self.names]}
        if body.get("echo"):
            return self._echo(body)
        if path == "/v1/chat/completions":
            prompt = self.fmt.prompt([Message(m["role"], m["content"]) for m in body["messages"]])
        else:
            prompt = np.array(body["prompt"], np.int32)
        said, finished = "said", True
        if self.model is not None:
            with self.lock:
                (got,) = generate(
                    self.model, [prompt], stop_ids=self.fmt.stop_ids, max_new_tokens=body["max_tokens"], alone=True
                )
            said, finished = self.fmt.decode(got.ids), got.finished
        choice: dict[str, Any] = {"index": 0, "finish_reason": "stop" if finished else "length"}
        choice |= {"message": {"content": said}} if "messages" in body else {"text": said}
        return {"choices": [choice], "usage": {"prompt_tokens": len(prompt), "completion_tokens": 3}}

    def _echo(self, body: dict[str, Any]) -> Any:
        assert self.model is not None and body["max_tokens"] == 1 and body["logprobs"] == 1
        choices = []
        for i, ids in enumerate(body["prompt"]):
            with self.lock:
                each = [float(rank_options(self.model, [ids[:k]], [[[ids[k]]]])[0][0]) for k in range(1, len(ids))]
            choices.append({"index": i, "text": "", "logprobs": {"token_logprobs": [None, *each, -1.0]}})
        return {"choices": choices[::-1], "usage": {"prompt_tokens": sum(map(len, body["prompt"]))}}


@contextmanager
def serving(
    model: PreTrainedModel | None, fmt: ChatFormat, names: list[str] | None = None, fault: Fault | None = None
) -> Iterator[tuple[str, Behind]]:
    """The address, and what stands behind it."""
    behind = Behind(model, fmt, names or ["tiny"], fault)

    class Door(ThreadingHTTPServer):
        request_queue_size = 256

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.answer({})

        def do_POST(self) -> None:
            self.answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

        def answer(self, body: dict[str, Any]) -> None:
            with behind.lock:
                behind.asked.append((self.path, body))
                behind.keys.add(self.headers.get("Authorization", ""))
                behind.now += 1
                behind.most = max(behind.most, behind.now)
            try:
                status, headers, reply = (behind.fault and behind.fault(self.path, body)) or (200, {}, None)
                if not status:
                    self.close_connection = True
                    return
                data = json.dumps(behind.reply(self.path, body) if reply is None else reply).encode()
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)
            finally:
                with behind.lock:
                    behind.now -= 1

        def log_message(self, *_: Any) -> None:
            pass

    server = Door(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1", behind
    finally:
        server.shutdown()
        server.server_close()
