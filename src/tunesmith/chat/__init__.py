"""Conversations to token ids and back: one path for training, evaluation, chat and serving."""

from tunesmith.chat.format import NAMED, ChatFormat
from tunesmith.chat.tokenizer import TextTokenizer, train_bpe

__all__ = ["NAMED", "ChatFormat", "TextTokenizer", "train_bpe"]
