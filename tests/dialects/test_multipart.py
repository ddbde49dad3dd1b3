"""The `model` of a form is found as it arrives; a form that two parsers read in two ways is refused."""

from __future__ import annotations

import contextlib
import email
import time
from email.message import Message
from email.utils import collapse_rfc2231_value
from itertools import pairwise
from typing import TYPE_CHECKING

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.dialects.multipart import FormReader, boundary_of
from gateway.errors import BadRequest

if TYPE_CHECKING:
    from collections.abc import Iterable

TYPE = b"multipart/form-data; boundary=b0"


def part(head: bytes, value: bytes) -> bytes:
    return b"--b0\r\n%b\r\n\r\n%b\r\n" % (head, value)


def field(name: bytes, value: bytes) -> bytes:
    return part(b'Content-Disposition: form-data; name="%b"' % name, value)


FILE = part(
    b'Content-Disposition: form-data; name="file"; filename="a.wav"\r\nContent-Type: audio/wav',
    b"\0\x01\r\n--b\r\n\r\n--\r\nname=model",
)
END = b"--b0--\r\n"


def read(body: bytes, cuts: Iterable[int] = (), content_type: bytes = TYPE) -> tuple[FormReader, bytes]:
    """Read a whole form that arrives cut at these places; return the reader and what it let pass."""
    reader = FormReader(content_type)
    places = [0, *sorted(cuts), len(body)]
    passed = b"".join([reader.feed(body[start:end]) for start, end in pairwise(places)])
    assert len(passed) == reader.passed
    return reader, passed + reader.end()


def found(body: bytes, content_type: bytes = TYPE) -> bytes | None:
    """Return the model of a whole form."""
    reader, passed = read(body, (), content_type)
    assert passed == body
    return None if reader.span is None else body[slice(*reader.span)]


@pytest.mark.parametrize(
    ("content_type", "delimiter"),
    [
        (b"multipart/form-data; boundary=b0", b"--b0"),
        (b'multipart/form-data;boundary="b 0"', b"--b 0"),
        (b"multipart/form-data; charset=utf-8; Boundary=b0; x=y", b"--b0"),
        (b"multipart/form-data; boundary=----WebKitFormBoundaryAbC123", b"------WebKitFormBoundaryAbC123"),
        (b"multipart/form-data; boundary='b0'", b"--'b0'"),
    ],
)
def test_boundaries(content_type: bytes, delimiter: bytes) -> None:
    """As the content type says."""
    assert boundary_of(content_type) == delimiter


@pytest.mark.parametrize(
    "content_type",
    [
        b"", b"multipart/form-data", b"multipart/form-data; boundary=", b'multipart/form-data; boundary=""',
        b"multipart/form-data; boundary=" + b"x" * 71, b"multipart/form-data; boundary=a; boundary=b",
        b"multipart/form-data; xboundary=a", b"multipart/form-data; x-boundary=a", b"multipart/form-data; boundary*=a",
        b'multipart/form-data; boundary="a\\"b"', b"multipart/form-data; boundary=a; boundary = b",
        b"multipart/form-data; boundary=a; boundary*=b", b"multipart/form-data; boundary=a; Boundary*0=b",
    ],
)  # fmt: skip
def test_no_boundary_or_two(content_type: bytes) -> None:
    """Nothing that is found with more goodwill than an upstream may have."""
    with pytest.raises(BadRequest):
        FormReader(content_type)


def test_a_boundary_is_not_taken_from_another_parameter() -> None:
    """The one that counts is the one that is called so."""
    assert boundary_of(b"multipart/form-data; xboundary=a; boundary=b") == b"--b"


@pytest.mark.parametrize(
    ("body", "model"),
    [
        (field(b"model", b"whisper-1") + FILE + END, b"whisper-1"),
        (FILE + field(b"model", b"whisper-1") + END, b"whisper-1"),
        (part(b"content-disposition:form-data;name=model", b"a") + END, b"a"),
        (part(b'Content-Type: text/plain\r\nContent-Disposition: form-data; name="model"', b"a") + END, b"a"),
        (part(b'Content-Disposition: form-data; name="model"\r\nContent-Length: 1', b"a") + END, b"a"),
        (part(b'CONTENT-DISPOSITION: FORM-DATA; NAME="model"', b"a") + END, b"a"),
        (part(b'Content-Disposition: form-data; filename="x"; name="model"', b"a") + END, b"a"),
        (field(b"model", "日本".encode()) + END, "日本".encode()),
        (field(b"model", b"a\r\nb") + END, b"a\r\nb"),
        # what only looks like it
        (field(b"x", b"1") + END, None),
        (field(b"model_name", b"1") + field(b"my-model", b"2") + field(b"models[]", b"3") + END, None),
        (part(b'Content-Disposition: form-data; name="file"; filename="name=model"', b"1") + END, None),
        (part(b'Content-Disposition: form-data; name="file"; filename="a\\"; name=\\"model"', b"1") + END, None),
        (part(b'Content-Disposition: form-data; name="x"\r\nX: name="model"', b"1") + END, None),
        (field(b"x", b'Content-Disposition: form-data; name="model"\r\n\r\na') + END, None),
        (END, None),
        (END + b"\r\n \r\n", None),
        (field(b"model", b"a")[:-2], None),  # not complete
        (field(b"model", b"a"), None),
    ],
)
def test_forms(body: bytes, model: bytes | None) -> None:
    """Fields in any order, headers in any case."""
    assert found(body) == model


@pytest.mark.parametrize(
    "body",
    [
        # twice
        field(b"model", b"cheap") + FILE + field(b"model", b"dear") + END,
        field(b"model", b"a") * 2 + END,
        # not a name
        field(b"model", b"") + END,
        field(b"model", b"a\0b") + END,
        field(b"model", b"x" * 1025) + END,
        # a name that some parser reads as `model`, and some does not
        *(
            part(b"Content-Disposition: form-data; " + name, b"dear") + END
            for name in (
                b'name="Model"', b"name=MODEL", b'name = "model"', b'name ="model"', b'name= "model"', b"name='model'",
                b'name="mod\\el"', b'name="%6dodel"', b'name=" model"', b'name="model "', b'name="model\0"',
                b'name="model', b"name*=utf-8''model", b"name*=utf-8''%6dodel", b'name="x"; name="model"',
                b'name="x"; name*=model', b'name="x"; name*0=mod; name*1=el',
                b'name="x"; name*0*=model', b'name="model"; name="x"', b'"name"="model"', b"name", b'filename="x"',
                b'name="x" name="model"',
            )
        ),
        part(b"Content-Type: text/plain", b"dear") + END,
        part(b'Content-Disposition: attachment; name="model"', b"dear") + END,
        part(b'Content-Disposition : form-data; name="model"', b"dear") + END,
        part(b'Content-Disposition: form-data;\r\n name="model"', b"dear") + END,
        part(b'X: y\nContent-Disposition: form-data; name="model"', b"dear") + END,
        part(b'Content-Disposition: form-data; name="x"\r\nContent-Disposition: form-data; name="model"', b"d") + END,
        # parts that some parser cuts differently
        field(b"x", b'1\n--b0\nContent-Disposition: form-data; name="model"\n\ndear') + END,
        field(b"x", b'1--b0\r\nContent-Disposition: form-data; name="model"\r\n\r\ndear') + END,
        field(b"x", b'1\r\n--b0x\r\nContent-Disposition: form-data; name="model"\r\n\r\ndear') + END,
        field(b"x", b'1\r\n--b0 \r\nContent-Disposition: form-data; name="model"\r\n\r\ndear') + END,
        b"preamble\r\n" + field(b"model", b"a") + END,
        b"\r\n" + field(b"model", b"a") + END,
        b'--b0\nContent-Disposition: form-data; name="model"\n\na\n--b0--',
        b"--b0\r\n\r\na\r\n--b0--",
        b"--b0\r\na\r\n--b0--",
        b'--b0\r\n\r\nContent-Disposition: form-data; name="x"\r\n\r\na\r\n--b0--',
        # behind its end some parser reads on
        END + field(b"model", b"dear") + END,
        END + b"x",
        # not a form, or not all of one
        b"",
        b"--",
        b"--b0",
        field(b"x", b"1") + b"--b0\r\nContent-Disposition: form-data; na",
        b"--b0\r\n\r\n--b0--",
    ],
)  # fmt: skip
def test_refused(body: bytes) -> None:
    """Whoever means no harm has a library write it."""
    with pytest.raises(BadRequest):
        found(body)


FORM = field(b"language", b"en") + field(b"model", b"whisper-1") + FILE + END
DEAR = part(b'Content-Disposition: form-data; name="model"', b"dear")
SECOND = [
    DEAR,
    *(
        part(b"Content-Disposition: form-data" + said, b"dear")
        for said in (
            b"; name=model", b'; filename="x"; name="model"', b'; name="model"; filename="x"', b"; NAME=model;",
            b"; name*=utf-8''model", b'; name = "model"', b";\r\n name=model", b'; name="model[]"', b'; name="mod\\el"',
        )
    ),
    part(b'content-type: text/plain\r\ncontent-disposition:form-data;name="model"', b"dear"),
    part(b'X: y\rContent-Disposition: form-data; name="model"\r\nContent-Disposition: form-data; name="x"', b"dear"),
]  # fmt: skip


def test_every_split_in_three() -> None:
    """However it arrives: all of it passes, and the name is found where it stands."""
    at = FORM.index(b"whisper-1")
    for first in range(len(FORM)):
        for second in range(first, len(FORM), 7):
            reader, passed = read(FORM, (first, second))
            assert passed == FORM
            assert reader.span == (at, at + 9)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64])
def test_all_that_can_pass_does(size: int) -> None:
    """Kept back is no more than what may be a boundary, a head, or the name: a slow upload is not held up."""
    reader = FormReader(TYPE)
    body = field(b"model", b"m") + part(b'Content-Disposition: form-data; name="file"', b"\r" * 5000) + END
    content = body.index(b"\r" * 5000)
    for at in range(0, len(body), size):
        reader.feed(body[at : at + size])
        seen = min(at + size, len(body))
        if content + 8 <= seen < content + 5000:
            assert reader.passed >= seen - len(b"\r\n--b0")
    assert reader.passed == len(body)


@pytest.mark.parametrize("second", SECOND)
@pytest.mark.parametrize("before", [field(b"model", b"cheap"), field(b"model", b"cheap") + FILE])
def test_a_second_model_at_any_split(before: bytes, second: bytes) -> None:
    """However it is spelled and cut: refused before any of its part has passed."""
    body = before + second + END
    for size in (1, 2, 3, 5, 17):
        reader = FormReader(TYPE)
        with pytest.raises(BadRequest):
            for at in range(0, len(body), size):
                reader.feed(body[at : at + size])
        assert reader.passed <= len(before) - 2
    for cut in range(len(body)):
        reader = FormReader(TYPE)
        with pytest.raises(BadRequest):
            reader.feed(body[:cut])
            reader.feed(body[cut:])
        assert reader.passed <= len(before) - 2


@given(cuts=st.lists(st.integers(0, 400)), second=st.sampled_from([b"", *SECOND]))
def test_any_fragments(cuts: list[int], second: bytes) -> None:
    """What passes is the form, and a second model never does."""
    before = FILE + field(b"model", b"cheap") + field(b"x", b"1")
    body = before + second + END
    cuts = [min(cut, len(body)) for cut in cuts]
    try:
        reader, passed = read(body, cuts)
    except BadRequest:
        assert second
        return
    assert not second
    assert passed == body
    assert reader.span is not None
    assert body[slice(*reader.span)] == b"cheap"


@given(
    body=st.binary(max_size=120), start=st.sampled_from([b"", b"--b0\r\n", field(b"x", b"1")]), size=st.integers(1, 9)
)
def test_cuts_change_nothing(body: bytes, start: bytes, size: int) -> None:
    """A form is taken or refused for what it is, and not for how it comes."""
    whole = start + body
    outcomes: list[object] = []
    for cuts in ((), range(size, len(whole), size)):
        try:
            reader, passed = read(whole, cuts)
        except BadRequest:
            outcomes.append(None)
        else:
            assert passed == whole
            outcomes.append((reader.span, reader.passed))
    assert outcomes[0] == outcomes[1]


def test_more_parts_than_any_form_has() -> None:
    """Each costs a look, and there is room for half a million in 32 MB."""
    assert found(field(b"x", b"") * 999 + field(b"model", b"a") + END) == b"a"
    with pytest.raises(BadRequest, match="more than 1000 parts"):
        found(field(b"model", b"a") + field(b"x", b"") * 1000 + END)


@pytest.mark.parametrize("name", ["a.wav", 'q"u.wav', "ü\u2028.wav", "model", "a;b.wav", "a\\b.wav"])
def test_what_an_http_library_writes(name: str) -> None:
    """The forms of the SDKs, which use it."""
    sent = httpx.Request(
        "POST",
        "http://x/",
        data={"model": "whisper-1", "language": "en"},
        files={"file": (name, b"\r\n--\0", "audio/wav")},
    )
    sent.read()
    assert found(sent.content, sent.headers["content-type"].encode()) == b"whisper-1"


@given(body=st.binary(max_size=120), start=st.sampled_from([b"", b"--b0\r\n", field(b"x", b"1")]))
def test_any_bytes(body: bytes, start: bytes) -> None:
    """No form raises anything but `BadRequest`."""
    with contextlib.suppress(BadRequest):
        found(start + body)


@pytest.mark.parametrize(
    "head",
    [
        b" " * 9000,
        b"; " * 4000,
        b'; a="' + b"\\" * 8000,
        b"; a=b" * 1600,
        b'"' * 8000,
        b"; name=" + b"m" * 8000,
        b"\t;" * 4000,
    ],
)
def test_hostile_headers(head: bytes) -> None:
    """They are refused, and quickly."""
    started = time.process_time()
    with pytest.raises(BadRequest):
        found(part(b"Content-Disposition: form-data" + head + b"\0", b"a") + END)
    assert time.process_time() - started < 0.2


HEAD = b"Content-Disposition: form-data"
TOKENS = [
    b"--b0", b"\r\n--b0\r\n", b"\r\n--b0--\r\n", b"\r\n", b"\r\n\r\n", b"\n", b"\r", b"--", b" ", b"\t", b";", b'"',
    b"'", b"\\", HEAD, HEAD + b'; name="model"\r\n\r\n', HEAD + b'; name="x"\r\n\r\n', b"content-disposition:",
    b"; name=", b"name=", b"model", b'"model"', b"; name*=utf-8''model", b"; name*0=mod; name*1=el",
    b'; filename="a"', b"MODEL", b"x", b"X: y", b"%6d", b"\0",
]  # fmt: skip


def models_of(body: bytes) -> int:
    """Count what the parser of Python's library for mail, which forgives nearly everything, takes for a model."""
    message = email.message_from_bytes(b"MIME-Version: 1.0\r\nContent-Type: " + TYPE + b"\r\n\r\n" + body)
    parts = message.get_payload() if message.is_multipart() else []
    names = [one.get_param("name", header="content-disposition") for one in parts if isinstance(one, Message)]
    return sum(
        isinstance(name, (str, tuple)) and collapse_rfc2231_value(name).strip().lower() == "model" for name in names
    )


@given(tokens=st.lists(st.sampled_from(TOKENS), max_size=14), size=st.integers(1, 40))
@settings(max_examples=300, deadline=None)
def test_a_lenient_parser_sees_no_other_model(tokens: list[bytes], size: int) -> None:
    """Of a form that passes, it finds the same model, or none, and never a second one."""
    body = field(b"model", b"cheap") + b"--b0\r\n" + b"".join(tokens)
    try:
        reader, passed = read(body, range(size, len(body), size))
    except BadRequest:
        return
    assert passed == body
    assert reader.span is not None
    assert models_of(body) <= 1
