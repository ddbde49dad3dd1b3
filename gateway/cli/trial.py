"""The connection test behind `gateway test`: its subjects, its questions and their results."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from gateway.catalog import configured_models, is_listed
from gateway.cli.configuration import usable
from gateway.cli.terminal import count, seconds
from gateway.kinds import kind_of
from gateway.types import Candidate, Params, Upstream
from gateway.upstream.ask import Asker

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.core.names import Directory
    from gateway.types import Provider, Route, Usage
    from gateway.upstream.ask import Chat, Listing, Stream

# Parts of the names of models that are not for chat.
_OTHER_WORK = ("embed", "bge-", "minilm", "rerank", "whisper", "transcribe", "tts", "moderation", "dall-e", "gpt-image")

# After these outcomes of the list, a chat would fail too, so it is not tried.
_GONE = frozenset({"no_connect", "connect_timeout"})


# Some providers list hundreds of models.
MOST_NAMES = 20


@dataclass(frozen=True, slots=True)
class Subject:
    """A provider to test, with a model if one is configured."""

    provider: Provider
    candidate: Candidate | None = None
    params: Params = field(default_factory=Params)
    """The parameters for a model chosen from the provider's list."""


@dataclass(frozen=True, slots=True)
class Line:
    """One question and its answer."""

    what: str
    ok: bool | None
    """None: not asked, which is no failure."""
    detail: str


@dataclass(frozen=True, slots=True)
class Trial:
    """The result of testing one subject."""

    subject: Subject
    candidate: Candidate | None
    listing: Listing
    chat: Chat | None = None
    stream: Stream | None = None

    @property
    def name(self) -> str:
        return self.candidate.upstream.id if self.candidate else self.subject.provider.name

    @property
    def asked(self) -> bool:
        """Tell whether there was anything to ask."""
        return self.listing.offered or self.chat is not None

    @property
    def passed(self) -> bool:
        return all(one is None or one.problem is None for one in (self.listing, self.chat, self.stream))

    @property
    def lines(self) -> tuple[Line, ...]:
        """The lines to show."""
        return (_of_listing(self.listing), _of_chat(self.chat, self), _of_stream(self.stream, self))

    @property
    def details(self) -> tuple[tuple[str, str], ...]:
        """What `--verbose` adds: the key, the names of the models, and what the model said."""
        found = [("key", _masked(self.subject.provider))]
        if names := self.listing.models:
            more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
            found.append(("names", ", ".join(names[:MOST_NAMES]) + more))
        if self.chat is not None and self.chat.problem is None:
            found.append(("answer", repr(self.chat.text)))
        if self.stream is not None:
            found.append(("chunks", " ".join(map(repr, self.stream.texts))))
        return tuple(found)

    def as_json(self) -> dict[str, Any]:
        """Return the trial as JSON."""
        listing = msgspec.to_builtins(self.listing) | {"models": len(self.listing.models)}
        return {
            "upstream": self.name,
            "provider": self.subject.provider.name,
            "base_url": self.subject.provider.base_url,
            "model": self.candidate.upstream.model if self.candidate else None,
            "passed": self.passed,
            "models": listing,
            "chat": msgspec.to_builtins(self.chat),
            "stream": msgspec.to_builtins(self.stream),
        }


def subjects_of_providers(directory: Directory) -> list[Subject]:
    """Return every usable provider with its first configured chat model; without any, the demo."""
    providers = usable(directory.providers.values())
    if not providers:
        providers = [one for one in directory.providers.values() if kind_of(one).built_in]
    found = []
    for provider in providers:
        params = directory.params.get(provider.name, Params())
        models = [model for model in configured_models(provider, directory) if chats(model)]
        candidate = Candidate(Upstream(provider, models[0]), params) if models else None
        found.append(Subject(provider, candidate, params))
    return found


def subjects_of_route(route: Route) -> list[Subject]:
    """Return the candidates of a route, in their order."""
    return [Subject(one.upstream.provider, one) for one in route.candidates]


def chats(model: str) -> bool:
    """Tell whether a model is for chat, judging by its name."""
    return not any(part in model.lower() for part in _OTHER_WORK)


async def try_out(subjects: Sequence[Subject], tell: Callable[[Trial], None]) -> list[Trial]:
    """Test all subjects, those of one provider one after the other. `tell`: called with each result at once."""
    by_provider: dict[str, list[Subject]] = {}
    for subject in subjects:
        by_provider.setdefault(subject.provider.name, []).append(subject)
    async with Asker() as asker:
        done = await asyncio.gather(*(_try_provider(asker, group, tell) for group in by_provider.values()))
    return [trial for group in done for trial in group]


async def _try_provider(asker: Asker, subjects: Sequence[Subject], tell: Callable[[Trial], None]) -> list[Trial]:
    listing = await asker.models(subjects[0].provider, check_key=True)
    trials = []
    for subject in subjects:
        candidate = subject.candidate or _from_list(subject, listing)
        gone = listing.problem is not None and listing.problem.outcome in _GONE
        if gone or candidate is None or not chats(candidate.upstream.model):
            trial = Trial(subject, candidate, listing)
        else:
            trial = Trial(subject, candidate, listing, await asker.chat(candidate), await asker.stream(candidate))
        tell(trial)
        trials.append(trial)
    return trials


def _from_list(subject: Subject, listing: Listing) -> Candidate | None:
    """Choose a model if none is configured: any model of a local provider, elsewhere only one known to be cheap."""
    provider = subject.provider
    if provider.local:
        model = next((one for one in listing.models if chats(one)), "")
    else:
        usual = kind_of(provider).usual
        model = usual.fast if usual and is_listed(usual.fast, listing.models) else ""
    return Candidate(Upstream(provider, model), subject.params) if model else None


def _masked(provider: Provider) -> str:
    """Return the last four characters of a provider's key."""
    kind = kind_of(provider)
    sent = dict(provider.headers).get(kind.key_header.encode(), b"").decode("latin-1")
    key = sent.removeprefix(kind.key_prefix).strip()
    return f"…{key[-4:]}" if len(key) > 8 else "…" if key else "none"  # of a short one nothing is shown


def _of_listing(listing: Listing) -> Line:
    if listing.problem is not None:
        return Line("models", ok=False, detail=str(listing.problem))
    if not listing.offered:
        return Line("models", ok=None, detail="it has no free list")
    key = ", key accepted" if listing.key_accepted else ""
    return Line("models", ok=True, detail=f"{seconds(listing.latency_s)}, {len(listing.models)} listed{key}")


def _of_chat(chat: Chat | None, trial: Trial) -> Line:
    if chat is None:
        return Line("chat", ok=None, detail=_why_not(trial))
    if chat.problem is not None:
        return Line("chat", ok=False, detail=str(chat.problem))
    return Line("chat", ok=True, detail=", ".join([seconds(chat.latency_s), _tokens(chat.usage)]))


def _of_stream(stream: Stream | None, trial: Trial) -> Line:
    if stream is None:
        return Line("stream", ok=None, detail=_why_not(trial))
    if stream.problem is not None:
        return Line("stream", ok=False, detail=str(stream.problem))
    first = f"first token after {seconds(stream.first_token_s)}" if stream.first_token_s is not None else "no token"
    said = [seconds(stream.latency_s), first, count(stream.chunks, "chunk"), _tokens(stream.usage)]
    return Line("stream", ok=True, detail=", ".join(said))


def _why_not(trial: Trial) -> str:
    if trial.listing.problem is not None and trial.listing.problem.outcome in _GONE:
        return "not asked"
    if trial.candidate is not None:
        return "not asked: its name suggests that it is not for chat"
    name = trial.subject.provider.name
    return f"not asked: none of its models is configured (`gateway test {name}/MODEL` tests one)"


def _tokens(usage: Usage | None) -> str:
    return f"{usage.input_tokens} + {usage.output_tokens} tokens" if usage else "tokens not reported"
