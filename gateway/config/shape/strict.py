"""What all levels of gateway.yaml share: no unknown keys, and short forms."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler, model_validator

if TYPE_CHECKING:
    from pydantic.json_schema import JsonSchemaValue
    from pydantic_core import CoreSchema


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, protected_namespaces=())

    shorthand: ClassVar[str | None] = None
    """The field that a plain value sets, in place of a mapping: `main: openai/gpt-5`."""
    shorthand_is_list: ClassVar[bool] = False

    @model_validator(mode="before")
    @classmethod
    def _written_short(cls, value: object) -> object:
        if value is None:
            return {}
        if cls.shorthand and isinstance(value, str):
            return {cls.shorthand: [value] if cls.shorthand_is_list else value}
        if isinstance(value, dict):  # `api_key:` without a value counts as left out
            return {key: inner for key, inner in value.items() if inner is not None}
        return value

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        long = handler.resolve_ref_schema(handler(core))
        if not cls.shorthand:
            return long
        return {"anyOf": [{"type": "string"}, long], "description": long.pop("description", "")}
