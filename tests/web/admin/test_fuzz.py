"""Requests made at random from the OpenAPI document: each is answered as the document says, and none does harm."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # it comes without types

from tests.web.admin.scene import administered
from tests.web.admin.test_life import call

if TYPE_CHECKING:
    from pathlib import Path

NAMES = ["a", "b", "main", "other", "rlm", "role:rlm", "only", "calm", "openrouter", "nobody", "x y", "\u00fc"]
WORDS = ["", "a/x", "../..", "***", "${HOME}", "$", "0", "-1", "1e309", "true", "null", "\0", "\U0001f600", "x" * 3000]
TEXTS = [*NAMES, *WORDS]
ODD: list[Any] = [None, True, False, 0, -1, 2**70, 1.5, "", "x", [], {}, [[]], {"": None}, [None], {"a": {"b": [1]}}]
ENDLESS = {"/admin/v1/events"}
DEEPEST = 4


class Maker:
    """Makes values of the document's schemas, now and then of another."""

    def __init__(self, document: dict[str, Any], rng: random.Random) -> None:
        self._schemas = document["components"]["schemas"]
        self.rng = rng

    def value(self, schema: Any, depth: int = 0) -> Any:
        if self.rng.random() < 0.08 or not isinstance(schema, dict):
            return self.rng.choice(ODD)
        if "$ref" in schema:
            return self.value(self._schemas[schema["$ref"].rpartition("/")[2]], depth)
        if choices := schema.get("anyOf") or schema.get("oneOf"):
            return self.value(self.rng.choice(choices), depth)
        if "enum" in schema:
            return self.rng.choice(schema["enum"])
        if "const" in schema:
            return schema["const"]
        kind = schema.get("type")
        kind = self.rng.choice(kind) if isinstance(kind, list) else kind
        if kind == "object":
            return self._object(schema, depth)
        if kind == "array":
            longest = 0 if depth > DEEPEST else 3
            return [self.value(schema.get("items"), depth + 1) for _ in range(self.rng.randint(0, longest))]
        plain: dict[str, list[Any]] = {
            "integer": [0, 1, -1, 2**63],
            "number": [0.5, -1, 1e300],
            "boolean": [True, False],
            "null": [None],
        }
        return self.rng.choice(plain.get(kind or "", TEXTS))

    def _object(self, schema: dict[str, Any], depth: int) -> Any:
        required = schema.get("required", ())
        likely = 0.0 if depth > DEEPEST else 0.3
        found = {
            name: self.value(inner, depth + 1)
            for name, inner in schema.get("properties", {}).items()
            if name in required or self.rng.random() < likely
        }
        if (self.rng.random() < 0.1 or not schema.get("properties")) and depth <= DEEPEST:
            found[self.rng.choice(TEXTS)] = self.rng.choice(ODD)
        return found


def target_of(path: str, operation: dict[str, Any], maker: Maker) -> str:
    """Return a path with its parameters filled in."""
    rng = maker.rng
    query = []
    for one in operation["parameters"]:
        name, where = one["name"], one["in"]
        if where == "path":
            path = path.replace(f"{{{name}}}", quote(rng.choice([*NAMES, "$", "%00", "\0"]), safe=""))
        elif where == "query" and (one.get("required") or rng.random() < 0.4):
            value = rng.choice(NAMES) if rng.random() < 0.5 else str(maker.value(one["schema"]))
            query.append(f"{name}={quote(value[:500])}")
    path = path.removeprefix("/admin/v1")
    return f"{path}?{'&'.join(query)}" if query else path


@pytest.mark.parametrize("seed", range(3))
async def test_random_requests(tmp_path: Path, seed: int) -> None:
    """The status and the body are those of the document, and the gateway serves as before."""
    async with administered(tmp_path) as scene:
        document = await scene.get("/openapi.json")
        maker = Maker(document, random.Random(seed))
        seen: set[int] = set()
        operations = [
            (method.upper(), path, operation)
            for path, item in document["paths"].items()
            for method, operation in item.items()
            if path not in ENDLESS
        ]
        for method, path, operation in [one for one in operations for _ in range(3)]:
            target, body = target_of(path, operation, maker), None
            if "requestBody" in operation:
                body = maker.value(operation["requestBody"]["content"]["application/json"]["schema"])
            version = maker.rng.choice(["*", "*", "*", None, "0", '"'])
            response = await scene.ask(method, target, body, version=version)
            asked = f"{method} {target} {body!r}: {response.status} {response.body[:300]!r}"
            assert str(response.status) in operation["responses"], asked
            assert response.status != 503, asked
            seen.add(response.status)
            schema = operation["responses"][str(response.status)]["content"]["application/json"]["schema"]
            validator = Draft202012Validator({**schema, "components": document["components"]})
            errors = [one.message for one in validator.iter_errors(response.json)]
            assert not errors, f"{asked}: {errors[0]}"
        assert seen >= {200, 400, 404}
        await scene.edit("POST", "/config/revert", {"all": True})
        assert (await call(scene, "main")).status == 200
