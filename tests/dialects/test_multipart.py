"""The `model` of a form is found as it arrives; a form that two parsers read in two ways is refused."""

from __future__ import annotations

import contextlib
import time

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialects.multipart import ModelField, boundary_of, names_model
from gateway.errors import BadRequest

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


def found(body: bytes, content_type: bytes = TYPE) -> bytes | None:
    """Return the model of a whole form."""
    looking = ModelField(content_type)
    looking.look(body)
    return None if looking.span is None else body[slice(*looking.span)]


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
        b'multipart/form-data; boundary="a\\"b"',
    ],
)  # fmt: skip
def test_no_boundary_or_two(content_type: bytes) -> None:
    """Nothing that is found with more goodwill than an upstream may have."""
    with pytest.raises(BadRequest):
        ModelField(content_type)


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
        (END + field(b"model", b"a"), None),  # behind the end
        (b"", None),
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
                b'name="x"; name*=model', b'name="model"; name="x"', b'"name"="model"', b"name", b'filename="x"',
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
        b"--b0\r\n\r\n--b0--",
    ],
)  # fmt: skip
def test_refused(body: bytes) -> None:
    """Whoever means no harm has a library write it."""
    with pytest.raises(BadRequest):
        found(body)


def test_every_split_in_three() -> None:
    """However it arrives: nothing is found before it is complete, and then the same."""
    body = field(b"language", b"en") + field(b"model", b"whisper-1") + FILE + END
    at = body.index(b"whisper-1")
    complete = at + len(b"whisper-1\r\n--b0")
    for first in range(len(body)):
        for second in range(first, len(body), 7):
            looking = ModelField(TYPE)
            for end in (first, second, len(body)):
                looking.look(bytearray(body[:end]))
                assert looking.span == ((at, at + 9) if end >= complete else None)
            assert looking.ended


@given(cuts=st.lists(st.integers(0, 400)), twice=st.booleans())
def test_any_fragments(cuts: list[int], twice: bool) -> None:
    """A second one is noticed wherever it is cut."""
    body = FILE + field(b"model", b"cheap") + field(b"x", b"1") + field(b"model", b"dear") * twice + END
    looking = ModelField(TYPE)
    try:
        for cut in sorted(cuts):
            looking.look(body[:cut])
        looking.look(body)
    except BadRequest:
        assert twice
        return
    assert not twice
    assert looking.span is not None
    assert body[slice(*looking.span)] == b"cheap"


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


def test_a_large_form_in_small_pieces() -> None:
    """A megabyte, 64 bytes at a time: each byte is looked at about once."""
    body = bytearray(b'--b0\r\nContent-Disposition: form-data; name="file"\r\n\r\n')
    looking = ModelField(TYPE)
    started = time.process_time()
    for _ in range(1 << 14):
        body += b"\r\n--b" * 12
        looking.look(body)
    assert time.process_time() - started < 1


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


@pytest.mark.parametrize(
    ("piece", "named"),
    [
        (b'\r\n--b0\r\nContent-Disposition: form-data; name="model"\r\n\r\ndear', True),
        (b"form-data; name=model\r\n", True),
        (b"form-data; name = 'MODEL'", True),
        (b"form-data; name*=utf-8''x", True),
        (b'form-data; name="mod\\el"', True),
        (b'form-data; name="language"\r\n\r\nen', False),
        (b'form-data; name="model_name"', False),
        (b'form-data; name="file"; filename="model"', False),
        (b'name="model"', False),
        (b"\0\x01\x02", False),
    ],
)
def test_the_rest_of_a_large_form(piece: bytes, named: bool) -> None:
    """What flows through unread is searched for a second model."""
    assert names_model(piece) == named
