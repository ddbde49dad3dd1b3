"""Patterns for the texts of refusals, one for each meaning. Rule: a pattern knows neither statuses nor providers.

Messages may quote the request, so `plain_words` removes quotations first. The patterns match the shape of whole
sentences (a number beside the limit, a model's name between two words) rather than single words.

Source: the providers' documentation, SDKs and issues, by provider in docs/providers.md; read in November 2026.
"""

from __future__ import annotations

import re
from typing import Final

_QUOTED = tuple(re.compile(one) for one in (r'"[^"]*"', r"`[^`]*`", r"(?<!\w)'[^']*'(?!\w)"))
# A quotation after one of these names is the upstream's message, not a part of the request.
_SAID = re.compile(r"""(?:message|msg|detail|error|err|raw)["']?\s*[:=]\s*\\?$""")
# pydantic repeats the refused input (vLLM, FastAPI).
_INPUT = re.compile(r"""["']?input["']?\s*:.*|input_value=.*""", re.DOTALL)

# Up to four words between two that matter, such as a model's name.
_FEW = r"(?:\S+\s+){0,4}?"


def plain_words(message: str) -> str:
    """Return a message in lower case, without quotations of more than one word: those may come from the request."""
    text = message.lower()
    if "validation error" in text or "'type':" in text or '"type":' in text:
        text = _INPUT.sub("", text)

    def unquoted(found: re.Match[str]) -> str:
        quote = found[0]
        is_name = not any(char.isspace() for char in quote)
        return quote if is_name or _SAID.search(found.string[max(0, found.start() - 16) : found.start()]) else " "

    for quoted in _QUOTED:
        text = quoted.sub(unquoted, text)
    return text


def _any(*patterns: str) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{pattern})" for pattern in patterns))


# -- this call

_NUMBER = r"(\d{1,3}(?:,\d{3})+|\d{1,15})(?![\d,.]*\d)"
_LIMIT_REQUESTED = re.compile(rf"limit:?\s*{_NUMBER}\b.{{0,80}}?requested:?\s*{_NUMBER}", re.DOTALL)


def wants_more_than_the_limit(words: str) -> bool:
    """Tell whether one call exceeds the whole limit ("Limit 30000, Requested 45120"), so that waiting does not help."""
    if (found := _LIMIT_REQUESTED.search(words)) is None:
        return False
    limit, requested = (int(number.replace(",", "")) for number in found.groups())
    return requested > limit


TOO_LARGE: Final = _any(
    r"\brequest (?:body |entity )?(?:is )?too large\b",
    r"\bpayload too large\b",
    r"\bextra usage is required for long context",  # Anthropic, with 429
    r"\brequest exceeds the maximum size",
    r"\bmax_(?:completion_|output_|new_)?tokens\b.{0,30}?\b(?:is too large|exceeds?|greater than|larger than)\b",
    r"\bmax_tokens\W{1,3}must be less than or equal to\b",  # Groq
    r"\bvalid range of max_tokens is\b",  # DeepSeek
    r"\bsupports at most \d+ (?:completion |output )?tokens",
    r"\bmax_tokens: \d+ > \d+",  # Anthropic
    r"\bmaximum allowed number of output tokens",
)
UNAFFORDABLE: Final = _any(
    r"\bcan only afford\b",
    r"\bfewer max_tokens\b",
    r"\bprompt tokens limit exceeded: \d+ > \d+",  # OpenRouter, of an account with little credit
)
CONTEXT: Final = _any(
    r"\bmaximum (?:context|sequence|model|prompt|input) length\b.{0,60}?\d",
    r"\b\d+ maximum context length",
    r"\bmax(?:imum)? context (?:size|window|length)\b.{0,40}?\d",
    r"\b(?:prompt|input|conversation|context) is too long\b",
    r"^\W*prompt too long\b",
    r"\bexceeds? (?:the )?(?:available |model'?s? |maximum )*context (?:size|limit|length|window)\b",
    r"\bcontext (?:window|length|size|limit) (?:is |was |has been )?exceed",
    r"\bcontextwindowexceedederror\b",  # LiteLLM
    r"\bcontext length of only\b",  # LM Studio
    r"\binput token count\b.{0,24}exceeds",  # Gemini
    r"\binput length\b.{0,40}\bexceeds?\b",
    r"`inputs`? tokens \+ `?max_new_tokens`? must be <=",  # Together, TGI
    r"`inputs` must have less than \d+ tokens",
    r"\bis longer than the maximum (?:model|context) length\b",  # vLLM
    r"\bmax_tokens must be at least 1, got -\d",  # vLLM, when the prompt alone is too long
    r"\btoo many (?:input |prompt |total )?tokens\b(?! per)",  # Cohere, Bedrock
    r"\bexceeded model token limit\b",  # Moonshot
    r"\btokens? limit exceeded: \d+ > \d+",
    r"\btokens in request more than max tokens\b",
    r"\bexceed\w* (?:the )?max(?:imum)? (?:context|sequence|input|prompt) length\b",
    r"\b(?:input|prompt) is longer than the maximum\b",
    r"\b(?:prompt|input|sequence|total|context)\b[^.]{0,40}?\b(?:tokens?|length)\b[^.]{0,40}?\b(?:exceed(?:s|ed)?|"
    r"(?:larger|longer|greater|more) than)\b[^.]{0,40}?\b(?:max|maximum|limit|allowed|context)\b"
    r"(?!.*\bper (?:min|hour|day|sec))",
    r"\bprompt exceeds max\b",  # Z.AI
    r"\brange of input length should be\b",  # Alibaba
    r"\breduce the (?:length|size) of (?:the |your )?(?:messages|prompt|input)\b",
)
POLICY: Final = _any(
    r"\brejected (?:as a result of|by) (?:our|the) (?:safety|moderation|content)",
    r"\bcontent (?:management |usage |safety )?polic(?:y|ies)\b",
    r"\b(?:by|in) (?:our |the )?moderation\b|\bmoderation (?:system|failed|policy|check)\b|\bcontent flagged\b",
    r"\bmay violate (?:our|the) ",
    r"\bcontent[ _-]?filter(?:ing|ed)?\b",
    r"\bcontent exists risk\b",  # DeepSeek
    r"\bcontent violates\b",  # xAI
    r"\bcontentpolicyviolationerror\b",  # LiteLLM
    r"\bviolat\w+ (?:of )?(?:our|the|openai'?s?|\w+'s) (?:usage|content|safety|acceptable use|use) polic",
    r"\bpotentially violating our\b",
    r"\b(?:input|prompt|content|request|text|image|message)s? (?:was|were|is|ha(?:s|ve) been) (?:flagged|moderated)\b",
    r"\b(?:requires|failed|blocked by) moderation\b",
    r"\bblocked (?:due to|because of|by|for) (?:our |the |a |its )?(?:safety|prohibited|content|guardrail)",
    r"\bprohibited_content\b|\bblock_?reason\b",  # Gemini
    r"\bconsidered high risk\b",  # Moonshot
    r"\binappropriate content\b|\bsensitive (?:content|words?|information)\b",  # Alibaba, MiniMax, Z.AI
    r"\bresponsible ai policy\b|\bresponsibleaipolicyviolation\b",
    r"\bsafety (?:system|filters?|settings|guidelines|reasons|check)\b",
)
UNSUPPORTED: Final = _any(
    r"\bno endpoints found (?:that|which|matching|with|supporting)\b",
    r"\bno endpoints available\b",
    r"\bno allowed providers\b",
    r"\b(?:not|n't) support (?:the |any |parallel )?(?:use of )?(?:tool|function|image|vision|audio|video|file|pdf|"
    r"multi-?modal|json|structured|stream|reasoning|thinking|system)",
    r"\b(?:image|audio|video|tool|function|vision|file|pdf)s?\b(?: \w+){0,2}? (?:is|are) not supported\b",
    r"\bonly supported by certain models\b",
    r"\bis not a multi-?modal model\b",
    r"\bat most 0 (?:image|audio|video)",  # vLLM
    r"\bmmproj\b",  # llama.cpp
)

# -- this model here

ENDPOINT: Final = _any(
    r"^\W*$",
    r"^\W*(?:\d{3} )?(?:the requested )?(?:page |file |resource )?(?:was )?not found\W*$",
    r"^\W*not found: /|^\W*(?:post|get) \S+ (?:was |is )?not found",
    r"^\W*(?:not implemented|method not allowed|not supported|unsupported)\W*$",
    r"\b(?:page|path|route|url|uri|endpoint|api(?! deployment)|method|operation)\b(?: \S+){0,2}? "
    r"(?:(?:was|is|are|could|does|can) )*(?:not|cannot)(?: be)? "
    r"(?:found|exist|supported|available|implemented|allowed)",
    r"\b(?:unknown|invalid|unsupported|no such|unrecognized) (?:request )?(?:url|endpoint|path|route)\b",
    r"^\W*(?:cannot|no|no route for|no handler for) (?:post|get|put|delete)\b",
    r"\bno (?:such |matching )?(?:endpoint|route|handler)\b",
)
MISMATCH: Final = _any(  # the model does not work with the endpoint
    r"\b(?:only |not )?supported in the /?v1/|\bonly supported in /?v1/",
    r"\bis not a (?:chat|completion|text|embedding) model\b",
    r"\bserver does not support\b",  # llama.cpp
    r"\bapi is not supported by this model\b",
    r"\bnot support (?:the )?(?:/?v1/)?(?:chat|chat completions?|completions?|responses|embeddings?|rerank\w*|"
    r"transcriptions?|speech|moderations?|generate)\b(?: api| endpoint)?",
)
MODEL: Final = _any(
    rf"\bmodels?\b\S*\s+{_FEW}(?:does(?: not|n['\u2019]t) exist|not exist\b)",
    rf"\bmodels?\b\S*\s+{_FEW}(?:is |was |could |can)?not (?:be )?found\b",
    rf"\bmodels?\b\S*\s+{_FEW}(?:is |are |is|are)?(?:not|n['\u2019]t|no longer) (?:currently )?"
    r"(?:available|supported|served|offered|deployed|hosted|enabled|activated|open|accessible)\b"
    r"(?! (?:in (?:the )?(?:/?v1|stream|combination|this (?:mode|context|api))|with|when|for (?!your|this|the)))",
    rf"\bmodels?\b\S*\s+{_FEW}is unavailable\b",
    rf"\bmodels?\b\S*\s+{_FEW}(?:has been|have been|was|were|is|are) (?:now )?(?:deprecated|decommissioned|retired|"
    r"removed|discontinued|shut ?down|sunset|disabled|blocked)\b",
    rf"\bmodels?\b\S*\s+{_FEW}(?:has )?reached (?:its |the )?end[ -]of[ -](?:its |the )?life",
    rf"\bmodels?\b\S*\s+{_FEW}requires? (?:\w+ )?(?:terms|acceptance|agreement)",
    r"\bmodel\b.{0,60}\b(?:accept|agree to) (?:the |its )?(?:terms|licen[sc]e)|\bmodel terms\b",
    r"\bmust be verified to use the model\b",  # OpenAI
    r"\b(?:the|this) deployment \S+ does not exist\b",
    r"\b(?:invalid|unknown|unavailable|nonexistent|non-existent|unsupported|no such) model(?: name| id)?\b(?! param)",
    r"\bmodel (?:name|id) \S+ is (?:invalid|unknown|not valid)",
    r"\bnot a valid model\b",
    r"\bnot found the model\b|\bunable to access (?:\S+ )?model\b",
    r"\b(?:have|has) (?:no )?access to (?:\S+ )?model\b|\baccess to (?:this |the )?model (?:is )?(?:not|denied)",
    r"\b(?:not|n't) (?:have (?:the )?)?(?:permission|access|allowed|authorized|enabled|entitled)\b.{0,30}\b"
    r"(?:this |the |that )?model\b",
    r"\bmodel access (?:is )?denied\b|\baccess denied\W+this model\b",
    r"\bno endpoints found for\b",
    r"\bno models? (?:is |are )?(?:currently )?loaded\b",  # LM Studio
    r"\bprovided model identifier is invalid\b|\bmodel id\b.{0,200}on-demand throughput",  # Bedrock
    r"\bfunction '\S+': not found for account\b",  # NVIDIA
    r"^\W*model: \S+$",  # Anthropic
    r"\bapi deployment for this resource does not exist\b",  # Azure
    r"\bno available channel for model\b",  # new-api
    r"\b(?:could not find|no router for) (?:(?:the |real|requested) ?)?model",  # llama-swap
    r"\u6a21\u578b\u4e0d\u5b58\u5728",  # "the model does not exist"
)
LOADING: Final = _any(
    r"(?<!error )(?<!failed )(?<!fail )\bloading (?:the )?model\b",
    r"\bmodels?\b(?!.{0,80}(?:fail|error|unable))\S*\s+(?:\S+\s+){0,6}?(?:(?:still|currently|being|is|are) )+"
    r"(?:loading|loaded|starting|initiali[sz]ing|warming|downloading|deploying)\b",
    r"\b(?:still|currently|is) (?:loading|starting up|warming up|initiali[sz]ing)\b",
    r"\bmodels?\b\S*\s+(?:\S+\s+){0,6}?(?:is |are )?not (?:yet )?(?:ready|loaded)\b",
    r"\b(?:server|service|engine|endpoint|replica|worker)s? (?:is |are )?(?:not ready|starting|scaling|warming)\b",
    r"\bscaling (?:up|from zero)\b|\bwaiting for (?:the )?model to load\b",
    r"\bcold start",
)

# -- the account

CREDENTIAL: Final = _any(
    r"\b(?:incorrect|invalid|expired|missing|unknown|wrong|malformed) (?:api|x-api|access|secret|subscription)[ -]?key",
    r"\b(?:api|access|subscription)[ -]?key\b(?: \S+){0,3}? (?:is |was |has |been |not )*"
    r"(?:valid|invalid|expired|revoked|disabled|deleted|deactivated|inactive|missing|leaked|incorrect)\b",
    r"\bapi key was reported as leaked\b",  # Gemini
    r"\bno (?:api key|auth credentials|credentials)\b(?: \w+)? (?:provided|found|supplied)",
)
TOKEN: Final = _any(  # other names for the key; only with a 403 do they clearly mean ours
    r"\b(?:security|bearer|authentication|access|auth) token\b.{0,40}\b(?:invalid|expired|missing|malformed)\b",
    r"\binvalid (?:authentication|authorization|bearer|credentials?|access token|auth token)\b|^\W*invalid token\W*$",
    r"\brequest signature we calculated does not match\b",  # AWS
)
BLOCKED: Final = _any(
    r"\buser location is not supported\b",
    r"\bcountry, region,? or territory\b.{0,16}not supported",
    r"\bnot (?:available|supported|permitted|allowed) in (?:your|this) (?:country|region|location|territory)\b",
    r"\b(?:account|organi[sz]ation|consumer|project|user|workspace|team)\b(?: \S+){0,2}? (?:is|has been|was) "
    r"(?:\w+ )?(?:suspended|deactivated|disabled|banned|terminated|restricted|blocked|locked|closed)\b",
    r"\b(?:virtual network|firewall) rules\b|\bpublic access is disabled\b",  # Azure
    r"\b(?:ip|ip address)\b(?: \S+){0,3}? (?:is )?not (?:allowed|authorized|in|on|permitted|whitelisted)\b",
    r"\bhas not been used in project\b.{0,60}\bdisabled\b",  # Google
)
REGION: Final = _any(  # only with a 403 are these clearly not about a parameter of the call
    r"\b(?:country|region|location|territory)\b(?: \S+){0,2}? not (?:supported|allowed|permitted|available)\b",
    r"\bunsupported (?:country|region|location|territory)\b",
    r"\b(?:account|access) (?:has been |is |was )?(?:suspended|disabled|terminated|banned|revoked)\b",
)
CREDIT: Final = _any(
    r"\b(?:credit )?balance (?:is |was )?(?:too low|insufficient|not enough|exhausted|negative)\b",
    r"\b(?:insufficient|not enough|no) (?:account )?(?:balance|credits?|funds|quota balance)\b",
    r"\b(?:out of|ran out of|run out of|used all (?:of )?(?:your |its )?(?:available )?) ?credits?\b",
    r"\bdoes(?: not|n['\u2019]t) have any credits\b",
    r"\bcredits? (?:are |is |limit |have been )*(?:depleted|exhausted|exceeded|used up)\b",
    r"\bexceeded (?:your |the )?monthly included credits",
    r"\bmonthly (?:spending|usage) limit\b|\b(?:exceeded|reached) (?:your |the )?(?:\w+ )?spending limit\b",
    r"\bcredit limit (?:is |was |has been )?(?:reached|exceeded)\b|\bnegative balance\b|\bno remaining balance\b",
    r"\bplease (?:recharge|top up)\b|\b(?:trial|free) credits? (?:have |has )?expired\b",
    r"\breached your specified\b",  # Anthropic
    r"\baccount is not active\b.{0,40}\bbilling\b",
    r"\bbudget has been exceeded\b",  # LiteLLM
    r"\baccount is in good standing\b",  # Alibaba
    r"\u4f59\u989d\u4e0d\u8db3",  # "insufficient balance"
)
# Refusals by a third party of something that the provider was to fetch or use for the call.
THIRD_PARTY: Final = _any(
    r"\b(?:download|fetch|retriev)\w*|\bmcp\b|\b(?:image|file|document|video|audio)[ _]url\b|\bwebhook\b|\bconnector\b",
)
SCOPE: Final = _any(  # the key works for other calls
    r"\bmissing scopes?\b",
    r"\binsufficient permissions for this operation\b",
    r"\brestricted (?:api )?key\b.{0,60}\bpermission",
)
DAILY: Final = _any(r"\bfree-models-per-day\b", r"\(rpd\)", r"\(tpd\)")
