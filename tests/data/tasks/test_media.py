"""Rows with pictures, videos and sound are set aside, in all forms that people use; text about them is not."""

from __future__ import annotations

from typing import Any

import pytest

from tests.data.readers.test_every_value import read
from tunesmith.core.types import Conversation, SetAside

SAID = {"role": "assistant", "content": "A cat."}
PLAIN = [{"role": "user", "content": "What is it?"}, SAID]


def parts(*given: dict[str, Any]) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": [{"type": "text", "text": "What is it?"}, *given]}, SAID]}


def asks(text: str) -> dict[str, Any]:
    return {"instruction": text, "input": "", "output": "A cat."}


HELD: list[tuple[str, dict[str, Any], str]] = [
    ("messages", parts({"type": "image_url", "image_url": {"url": "data:image/png;base64,xx"}}), "a picture"),
    ("messages", parts({"type": "image"}), "a picture"),
    ("messages", parts({"type": "input_image", "image_url": "x"}), "a picture"),
    ("messages", parts({"image": "x.png"}), "a picture"),
    ("messages", parts({"type": "input_audio", "input_audio": {"data": "", "format": "wav"}}), "sound"),
    ("messages", parts({"type": "audio_url", "value": "x.wav"}), "sound"),
    ("messages", parts({"type": "video", "video": "x.mp4"}), "a video"),
    ("messages", parts({"type": "video_url", "value": "x.mp4"}), "a video"),
    ("messages", parts({"type": "file", "file": {"file_id": "f"}}), "a file"),
    ("messages", {"messages": PLAIN, "images": ["1.jpg"]}, "a picture"),
    ("messages", {"messages": PLAIN, "images": [{"bytes": None, "path": "1.jpg"}]}, "a picture"),
    ("messages", {"messages": PLAIN, "videos": ["1.mp4"]}, "a video"),
    ("messages", {"messages": PLAIN, "audios": "1.mp3"}, "sound"),
    (
        "sharegpt",
        {
            "image": "coco/1.jpg",
            "conversations": [{"from": "human", "value": "What?\n<image>"}, {"from": "gpt", "value": "A cat."}],
        },
        "a picture",
    ),
    ("alpaca", {**asks("What is it?"), "image_path": "1.jpg"}, "a picture"),
    ("alpaca", asks("<image>What is it?"), "a picture"),
    ("alpaca", asks("<image>\n<image>\nHow do they differ?"), "a picture"),
    ("alpaca", asks("What do you hear?\n<audio>"), "sound"),
    ("alpaca", asks("<video>Why is this funny?"), "a video"),
    ("alpaca", asks("<|vision_start|><|image_pad|><|vision_end|>What is it?"), "a picture"),
    ("preference", {"prompt": "<image>What?", "chosen": "A cat.", "rejected": "A dog."}, "a picture"),
    ("preference", {"prompt": "What?", "chosen": "A cat.", "rejected": "A dog.", "images": ["1.jpg"]}, "a picture"),
]


@pytest.mark.parametrize(("reader", "row", "what"), HELD)
def test_a_row_that_is_not_text_alone_is_set_aside(reader: str, row: dict[str, Any], what: str) -> None:
    (found,) = read(reader, {}, row)
    assert isinstance(found, SetAside)
    assert found.reason.startswith(f"holds {what}, and only text is trained on: ")


TEXT: list[tuple[str, dict[str, Any]]] = [
    ("messages", {"messages": PLAIN, "images": [], "image": None, "video": "", "audio": False}),
    ("messages", parts()),
    ("alpaca", asks("What does the `<video>` tag do in HTML?")),
    ("alpaca", asks('<video>\n<source src="a.mp4">\n</video>\nWhy does this not play?')),
    ("alpaca", asks("Write about an image. <img> closes itself.")),
    ("alpaca", {**asks("Which video was it?"), "video_id": "x1", "imaginary": "a"}),
]


@pytest.mark.parametrize(("reader", "row"), TEXT)
def test_text_about_pictures_is_text(reader: str, row: dict[str, Any]) -> None:
    (found,) = read(reader, {}, row)
    assert isinstance(found, Conversation), found
