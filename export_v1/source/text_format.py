"""Protobufs in text form."""

from google.protobuf import text_format
from google.protobuf.message import Message


def parsed(content: bytes, into: Message) -> bool:
    """Reads text into a message that is empty; returns whether it is one, and no deeper than Python's stack."""
    try:
        text_format.Parse(content.decode(), into)
    except (UnicodeDecodeError, text_format.ParseError, RecursionError):
        return False
    return True
