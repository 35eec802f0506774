"""Content parts of OpenAI's messages as Gemini's parts. Pure."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from proxy.errors import BadRequest
from proxy.parameters import bad, wrong_type

Part = dict[str, Any]

IMAGES = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "webp": "image/webp",
    "gif": "image/gif",
    "heic": "image/heic",
    "heif": "image/heif",
    "avif": "image/avif",
}
FILES = {"pdf": "application/pdf", "txt": "text/plain", "md": "text/markdown", "csv": "text/csv", "html": "text/html"}
SOUNDS = {"mp3": "audio/mp3", "wav": "audio/wav", "m4a": "audio/mp4", "pcm16": "audio/pcm"}
NOT_FETCHED = ("generativelanguage.googleapis.com", "youtube.com", "youtu.be")
"""Hosts whose links are no pictures to Google: files of whoever owns the credential, and films of any length."""


def of_content(content: object, path: str) -> list[Part]:
    """The parts of a message's content; empty texts are left out, as Gemini refuses them."""
    if type(content) is str:
        return [{"text": content}] if content else []
    parts = [_part(one, f"{path}[{index}]") for index, one in enumerate(content)] if type(content) is list else []
    return [part for part in parts if part is not None]


def text_of(content: object) -> str:
    """The texts of a content, joined."""
    if type(content) is str:
        return content
    texts = [part.get("text") for part in content if part.get("type") == "text"] if type(content) is list else []
    return "\n".join(text for text in texts if type(text) is str)


def picture(image: object, path: str) -> Part:
    """An ``image_url``: a data URL goes along; Gemini fetches a link, whose type is guessed by its ending, else JPEG.

    Raises BadRequest for what is no image or no link, and for links that are more than one picture to Google.
    """
    url = image.get("url") if type(image) is dict else image
    if type(url) is not str:
        raise wrong_type(f"{path}.url", "a string", url)
    if url.startswith("data:"):
        data = _inline(url, f"{path}.url")
        if not data["inlineData"]["mimeType"].startswith("image/"):
            raise bad("An 'image_url' takes images; send other files as 'file'.", "invalid_value", f"{path}.url")
        return data
    return _linked(url, IMAGES, "image/jpeg", f"{path}.url")


def _part(part: dict[str, Any], path: str) -> Part | None:
    kind = part.get("type")
    match kind:
        case "text" | "refusal":
            text = part.get(kind)
            if type(text) is not str:
                raise wrong_type(f"{path}.{kind}", "a string", text)
            return {"text": text} if text else None
        case "image_url":
            return picture(part["image_url"], f"{path}.image_url")
        case "input_audio":
            return _sound(part["input_audio"], f"{path}.input_audio")
        case "file":
            return _file(part["file"], f"{path}.file")
    raise bad(f"This model does not take content of type '{kind}'.", "unsupported_value", f"{path}.type")


def _sound(audio: object, path: str) -> Part:
    if type(audio) is not dict:
        raise wrong_type(path, "an object", audio)
    data, kind = audio.get("data"), audio.get("format", "wav")
    if type(data) is not str:
        raise wrong_type(f"{path}.data", "a string", data)
    if type(kind) is not str or not kind.isalnum():
        raise bad("Supported values are: 'wav', 'mp3', 'flac', 'ogg' and others.", "invalid_value", f"{path}.format")
    if data.startswith("data:"):
        return _inline(data, f"{path}.data")
    return {"inlineData": {"mimeType": SOUNDS.get(kind, f"audio/{kind}"), "data": data}}


def _file(file: object, path: str) -> Part:
    """A file with its data, as a data URL or bare base64 whose type is guessed by the file's name, else PDF."""
    if type(file) is not dict:
        raise wrong_type(path, "an object", file)
    data = file.get("file_data")
    if type(data) is not str:
        raise bad("Files are taken with their data, in 'file_data'.", "unsupported_value", f"{path}.file_data")
    if data.startswith("data:"):
        return _inline(data, f"{path}.file_data")
    if "://" in data[:16]:
        return _linked(data, {**IMAGES, **FILES}, "application/pdf", f"{path}.file_data")
    name = file.get("filename")
    mime = {**IMAGES, **FILES}.get(_ending(name), "application/pdf") if type(name) is str else "application/pdf"
    return {"inlineData": {"mimeType": mime, "data": data}}


def _inline(url: str, path: str) -> Part:
    """``data:image/png;base64,…``."""
    head, comma, data = url[5:].partition(",")
    mime, *rest = head.split(";")
    if not comma or "base64" not in rest or "/" not in mime:
        raise bad("A data URL here is 'data:<type>;base64,<data>'.", "invalid_value", path)
    return {"inlineData": {"mimeType": mime.strip().lower(), "data": data}}


def _linked(url: str, types: dict[str, str], usual: str, path: str) -> Part:
    try:
        link = urlsplit(url)
        host = link.hostname or ""
    except ValueError:
        raise _no_link(path) from None
    if link.scheme not in ("https", "http") or not host:
        raise _no_link(path)
    if any(host == name or host.endswith("." + name) for name in NOT_FETCHED):
        raise bad("Links to this host are not taken; send the data itself.", "unsupported_value", path)
    return {"fileData": {"mimeType": types.get(_ending(link.path), usual), "fileUri": url}}


def _ending(name: str) -> str:
    return name.rpartition(".")[2].lower()


def _no_link(path: str) -> BadRequest:
    return bad("This takes a data URL or an https address.", "invalid_value", path)
