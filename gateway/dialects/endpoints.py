"""The operations of OpenAI's API that go to an upstream, one row each."""

from __future__ import annotations

from gateway.types import BodyKind, Endpoint

CHAT = Endpoint("chat", "/chat/completions", terminal="done", usage_on_request=True, generates=True)
COMPLETIONS = Endpoint("completions", "/completions", terminal="done", usage_on_request=True, generates=True)
# A response is stored at the provider unless the call says otherwise, so a second one is a second object there.
RESPONSES = Endpoint("responses", "/responses", terminal="response", generates=True, repeatable=False)
EMBEDDINGS = Endpoint("embeddings", "/embeddings")
# OpenAI's reference, read in November 2026: `model` is optional and defaults to this one.
MODERATIONS = Endpoint("moderations", "/moderations", default_model="omni-moderation-latest")
RERANK = Endpoint("rerank", "/rerank")
IMAGE_GENERATIONS = Endpoint("image_generations", "/images/generations", generates=True, repeatable=False)
IMAGE_EDITS = Endpoint("image_edits", "/images/edits", BodyKind.MULTIPART, generates=True, repeatable=False)
SPEECH = Endpoint("speech", "/audio/speech", answers_json=False, repeatable=False)
TRANSCRIPTIONS = Endpoint("transcriptions", "/audio/transcriptions", BodyKind.MULTIPART, answers_json=False)
TRANSLATIONS = Endpoint("translations", "/audio/translations", BodyKind.MULTIPART, answers_json=False)

ENDPOINTS = (
    CHAT,
    COMPLETIONS,
    RESPONSES,
    EMBEDDINGS,
    MODERATIONS,
    RERANK,
    IMAGE_GENERATIONS,
    IMAGE_EDITS,
    SPEECH,
    TRANSCRIPTIONS,
    TRANSLATIONS,
)
