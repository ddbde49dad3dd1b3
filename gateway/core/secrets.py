"""Mask a provider's credentials in its answers. Some providers and many error pages repeat the request's headers.

Rule: masking happens where upstream text enters, before the text is cut, logged, stored or relayed. Text without
secrets costs one search per secret; all other work happens only after a failure.

A secret is recognised in plain form, in Base64 (`Basic` credentials, at each of the three alignments), and behind the
escapes of JSON, URLs and HTML, even nested. Pieces of a secret count too, because error texts and quotations are cut.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from bisect import bisect_right
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import parse_qsl, unquote_to_bytes, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.types import Provider

# Secrets are found by pieces of this length. They are cut at its multiples, so a span of twice the length has one.
_GRAM = 8
# Shorter pieces of a longer secret are harmless: OpenAI itself shows `sk-proj-****abcd`.
SHORTEST_PIECE = 12
# Secrets shorter than this are often words (`ollama`, `EMPTY`): they are masked only as whole words.
SHORT = 8
_SHORTEST = 4
SAID_IN_TEXT = "[key]"

# Configured headers that hold no secrets. All other configured headers count as secrets, unless their value is a plain
# word (`production`) and their name does not suggest a secret.
_PUBLIC_HEADERS = frozenset({
    b"accept", b"accept-encoding", b"accept-language", b"anthropic-beta", b"anthropic-version", b"cache-control",
    b"content-type", b"http-referer", b"openai-beta", b"origin", b"referer", b"user-agent", b"x-openrouter-title",
    b"x-title",
})  # fmt: skip
_SECRET_NAME = re.compile(rb"auth|key|token|secret|cookie|pass|cred|sign|session|jwt", re.IGNORECASE)
_LONGEST_WORD = 16
# Query parameters that hold no secrets (Azure's api-version).
_PUBLIC_QUERY = frozenset({"api-version", "api_version", "version", "alt"})

_SCHEME = re.compile(rb"([A-Za-z][A-Za-z0-9_-]{2,15})[ \t]+(\S+)")
_ESCAPE = re.compile(
    rb"""\\u00([2-7][0-9a-fA-F]) | \\(["\\/]) | %([2-7][0-9a-fA-F]) | &\#x0*([2-7][0-9a-fA-F]); | &\#0*(\d{2,3}); """
    rb"""| &(amp|lt|gt|quot|apos);""",
    re.VERBOSE,
)
_ENTITIES = {b"amp": b"&", b"lt": b"<", b"gt": b">", b"quot": b'"', b"apos": b"'"}
# Levels of escapes that are undone: JSON in JSON in a URL. No text is escaped more often by accident.
_DEPTH = 3
# Undoing an escape takes 0.3 us. In a text with more escapes than this, only plain secrets are masked.
_MOST_ESCAPES = 50_000


class _Secret(NamedTuple):
    value: bytes
    shortest: int
    """The shortest piece that is masked."""
    grams: tuple[tuple[int, bytes], ...]
    """Pieces of _GRAM bytes, each with its offset; every long enough piece of the secret contains one of them."""


Said = bytes
"""Within `Mask`, `bytes` is a method."""


class Mask:
    """The secrets of one provider, to be masked in its texts. `mask_of` makes one for each provider."""

    __slots__ = ("_ends", "_plain", "_secrets", "_words")

    def __init__(self, secrets: frozenset[Said]) -> None:
        long = sorted(one for one in secrets if len(one) >= SHORT)
        short = sorted(one for one in secrets if _SHORTEST <= len(one) < SHORT)
        self._plain = tuple(long)
        self._ends = tuple(one[-SHORTEST_PIECE:] for one in long)
        self._secrets = tuple(_secret(form) for form in dict.fromkeys(form for one in long for form in _forms(one)))
        words = b"|".join(re.escape(one) for one in short)
        self._words = re.compile(rb"(?<![\w-])(?:%b)(?![\w-])" % words) if words else None

    def __repr__(self) -> str:
        return f"<Mask of {len(self._plain)} secrets>"

    def __bool__(self) -> bool:
        return bool(self._plain or self._words)

    def occurs(self, said: Said) -> bool:
        """Tell whether a plain secret occurs. It takes half a microsecond, for the header lines of every answer.

        Secrets of less than SHORT bytes and escaped ones are not found; `bytes` masks both.
        """
        # `find`, because `in` first checks for a number. Only the end of a secret, which is found faster.
        for end in self._ends:  # noqa: SIM110  # a generator takes twice as long
            if said.find(end) >= 0:
                return True
        return False

    def bytes(self, said: Said) -> Said:
        """Return the text with every secret replaced by `*`. Its length stays the same, and JSON stays valid."""
        spans = self._spans(said)
        if not spans:
            return said
        masked = bytearray(said)
        for start, end in spans:
            masked[start:end] = b"*" * (end - start)
        return bytes(masked)

    def text(self, said: str) -> str:
        """Return the text with every secret replaced by `[key]`."""
        written = said.encode("utf-8", "surrogatepass")
        spans = self._spans(written)
        if not spans:
            return said
        pieces, last = [], 0
        for start, end in spans:
            pieces += [written[last:start], SAID_IN_TEXT.encode()]
            last = end
        return b"".join((*pieces, written[last:])).decode("utf-8", "surrogatepass")

    def _spans(self, said: Said) -> list[tuple[int, int]]:
        """Return the spans of all secrets, in order and without overlaps."""
        if not self:
            return []
        found = list(self._found(said))
        plain, places = said, _Places([(0, 0)], len(said))
        for _ in range(_DEPTH):
            undone = _undone(plain)
            if undone is None:
                break
            plain, these = undone
            places = these.before(places)
            found += [places.span(start, end) for start, end in self._found(plain)]
        if self._words is not None:
            found += [match.span() for match in self._words.finditer(said)]
        return _joined(found)

    def _found(self, said: Said) -> Iterator[tuple[int, int]]:
        for value, shortest, grams in self._secrets:
            for offset, gram in grams:
                at = said.find(gram)
                while at >= 0:
                    start, end, left, right = at, at + len(gram), offset, offset + len(gram)
                    while left and start and said[start - 1] == value[left - 1]:
                        start, left = start - 1, left - 1
                    while right < len(value) and end < len(said) and said[end] == value[right]:
                        end, right = end + 1, right + 1
                    if end - start >= shortest:
                        yield start, end
                    at = said.find(gram, end)


@lru_cache(maxsize=512)
def mask_of(provider: Provider) -> Mask:
    """Return the mask of a provider. The look-up hashes the provider, so keep the mask where every call needs it."""
    return Mask(frozenset(_secrets_of(provider)))


def _secrets_of(provider: Provider) -> Iterator[bytes]:
    for name, value in provider.headers:
        if _is_secret(name.lower(), value.strip()):
            yield from _credentials_in(value)
    if provider.admin_key:
        yield from _credentials_in(provider.admin_key.encode("utf-8", "replace"))
    url = urlsplit(provider.base_url)
    for part in (url.password, url.username if url.password is None else None):
        if part:
            yield part.encode()
            yield unquote_to_bytes(part)
    if url.username and url.password:
        yield unquote_to_bytes(f"{url.username}:{url.password}")
    for parameter, text in (*parse_qsl(url.query), *parse_qsl(provider.query)):
        if parameter.lower() not in _PUBLIC_QUERY:
            yield text.encode()


def _is_secret(name: bytes, value: bytes) -> bool:
    if name in _PUBLIC_HEADERS:
        return False
    return not (value.isalpha() and len(value) < _LONGEST_WORD) or _SECRET_NAME.search(name) is not None


def _credentials_in(value: bytes) -> Iterator[bytes]:
    """Yield the secrets in the value of a header: the credential after its scheme, and the decoded pair of `Basic`."""
    value = value.strip()
    found = _SCHEME.fullmatch(value)
    if found is None:
        yield value
        return
    scheme, credential = found.groups()
    # A credential too short to search for is masked together with its scheme.
    yield credential if len(credential) >= _SHORTEST else value
    if scheme.lower() == b"basic":
        try:
            pair = b64decode(credential, validate=True)
        except ValueError:
            return
        yield pair
        yield pair.partition(b":")[2] or pair.rstrip(b":")


def _forms(secret: bytes) -> Iterator[bytes]:
    yield secret
    for before in range(3):
        # Characters at both ends that also encode bits of the surrounding text are left out.
        encoded = b64encode(bytes(before) + secret)
        form = encoded[(0, 2, 3)[before] : (before + len(secret)) * 8 // 6]
        yield form
        if (in_urls := form.translate(bytes.maketrans(b"+/", b"-_"))) != form:
            yield in_urls


def _secret(value: bytes) -> _Secret:
    grams = tuple((at, value[at : at + _GRAM]) for at in range(0, len(value) - _GRAM + 1, _GRAM))
    return _Secret(value, min(SHORTEST_PIECE, len(value)), grams)


class _Places:
    """The original place of each byte of a text whose escapes were undone."""

    def __init__(self, marks: list[tuple[int, int]], length: int) -> None:
        """`marks`: (place now, place then) of the first byte of each run, ascending. `length`: of the original text."""
        self._now = [now for now, _ in marks]
        self._then = [then for _, then in marks]
        self._length = length

    def _of(self, at: int) -> int:
        index = bisect_right(self._now, at) - 1
        return min(self._then[index] + at - self._now[index], self._length)

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Return the original span, including all of its last escape."""
        last = self._of(end - 1)
        after = self._of(end)
        return self._of(start), max(last + 1, after)

    def before(self, earlier: _Places) -> _Places:
        """Return the places in the text before the `earlier` undoing."""
        points = {now: earlier._of(then) for now, then in zip(self._now, self._then, strict=True)}
        # An escape that was undone earlier splits a run of bytes here too.
        for then in earlier._now:
            index = bisect_right(self._then, then) - 1
            now = self._now[index] + then - self._then[index]
            if index + 1 >= len(self._now) or now < self._now[index + 1]:
                points.setdefault(now, earlier._of(then))
        return _Places(sorted(points.items()), earlier._length)


def _undone(said: bytes) -> tuple[bytes, _Places] | None:
    """Return a text with one level of escapes undone, and the places of its bytes. None: no escapes, or too many."""
    if b"\\" not in said and b"%" not in said and b"&" not in said:
        return None
    pieces: list[bytes] = []
    marks = [(0, 0)]
    last = length = 0
    for number, match in enumerate(_ESCAPE.finditer(said)):
        if number >= _MOST_ESCAPES:
            return None
        start, end = match.span()
        pieces += [said[last:start], _meant(match)]
        length += start - last
        marks += [(length, start), (length + 1, end)]
        length += 1
        last = end
    if len(marks) == 1:
        return None
    pieces.append(said[last:])
    return b"".join(pieces), _Places(marks, len(said))


def _meant(match: re.Match[bytes]) -> bytes:
    unicode, literal, percent, hexadecimal, decimal, entity = match.groups()
    if literal is not None:
        return literal
    if entity is not None:
        return _ENTITIES[entity]
    if decimal is not None:
        number = int(decimal)
        return bytes((number,)) if number < 0x80 else b"?"
    return bytes((int(unicode or percent or hexadecimal, 16),))


def _joined(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the spans in order, with touching or overlapping ones joined."""
    joined: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if joined and start <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(joined[-1][1], end)
        else:
            joined.append((start, end))
    return joined
