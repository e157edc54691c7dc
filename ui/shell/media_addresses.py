"""Addresses of downloads and pictures that cannot be guessed.

Streamlit serves them under /media to whoever has the address, without a login, and makes the address from the content:
of a large file from its length and three samples. Here a secret of this server and the visitor are part of it.
"""

import hashlib
import secrets

from streamlit.runtime import memory_media_file_storage

from ui.shell.page_queries import visitor_name

_SECRET = secrets.token_bytes(32)


def secret_file_id(data: bytes, mimetype: str, filename: str | None = None) -> str:
    """The part of the address that names a file: the same for one visitor and content, so that a page drawn again
    keeps its links and a file downloaded again takes no more memory. Another each time if it is nobody's."""
    owner = visitor_name() or secrets.token_hex()
    digest = hashlib.blake2b(key=_SECRET, digest_size=32)
    for part in (owner.encode(), mimetype.encode(), (filename or "").encode(), data):
        digest.update(len(part).to_bytes(8))
        digest.update(part)
    return digest.hexdigest()


def hide_media_addresses() -> None:
    """Use `secret_file_id` for every file from now on. Raises `AttributeError` with a Streamlit that names files in
    another way."""
    memory_media_file_storage._calculate_file_id  # noqa: B018 (absent: what is set here would be ignored)
    memory_media_file_storage._calculate_file_id = secret_file_id
