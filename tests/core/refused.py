"""What some thirty providers say when they refuse, by what it means.

Source: their documentation, SDKs and issues, read in November 2026; none of it was recorded by calling them.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from gateway.core import outcome as o

if TYPE_CHECKING:
    from gateway.types import Outcome


def openai(
    message: str, kind: str = "invalid_request_error", code: str | None = None, param: str | None = None
) -> bytes:
    return json.dumps({"error": {"message": message, "type": kind, "param": param, "code": code}}).encode()


def plain(message: str) -> bytes:
    return json.dumps({"message": message}).encode()


def openrouter(code: int, message: str, **metadata: object) -> bytes:
    return json.dumps({"error": {"code": code, "message": message, "metadata": metadata}}).encode()


def gemini(code: int, message: str, status: str) -> bytes:
    return json.dumps([{"error": {"code": code, "message": message, "status": status}}]).encode()


REFUSED: dict[Outcome, list[tuple[int, bytes]]] = {
    # -- about this call: nothing is set aside
    o.CONTEXT_LENGTH: [
        (400, openai("This model's maximum context length is 8192 tokens. However, you requested 9000 tokens.")),
        (400, plain("This endpoint's maximum context length is 32768 tokens. However, you requested about 40000.")),
        (400, openai("input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000, decrease it")),
        (400, openai("prompt is too long: 200001 tokens > 200000 maximum")),
        (
            400,
            gemini(
                400,
                "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
                "INVALID_ARGUMENT",
            ),
        ),
        (400, gemini(400, "The input token count exceeds the maximum number of tokens allowed 1048575.", "")),
        (422, openai("`inputs` tokens + `max_new_tokens` must be <= 8193. Given: 8000 `inputs` tokens and 512")),
        (403, openai("`inputs` tokens + `max_new_tokens` must be <= 8193. Given: 8000 `inputs` tokens and 512")),
        (422, b'{"error":"Input validation error: `inputs` must have less than 1024 tokens. Given: 2000"}'),
        (
            400,
            (
                b'{"object":"error","message":"The decoder prompt (length 5000) is longer than the maximum '
                b"model length "
                b'of 4096.","type":"BadRequestError","param":null,"code":400}'
            ),
        ),
        (400, openai("max_tokens must be at least 1, got -904.", "BadRequestError")),
        (
            400,
            openai(
                "'max_tokens' or 'max_completion_tokens' is too large: 9000. This model's maximum context length "
                "is 8192 tokens and your request has 100 input tokens."
            ),
        ),
        (400, openai("the request exceeds the available context size, try increasing it", "invalid_request_error")),
        (400, openai("request (5000 tokens) exceeds the available context size (4096 tokens), try increasing it")),
        (
            400,
            (
                b'{"error":"Trying to keep the first 5000 tokens when context the overflows. However, the model '
                b"is loaded "
                b'with context length of only 4096 tokens"}'
            ),
        ),
        (400, b'{"error":"the input length exceeds the context length"}'),
        (500, b'{"error":"input length exceeds maximum context length"}'),
        (
            400,
            (
                b'{"code":"Client specified an invalid argument","error":"This model\'s '
                b"maximum prompt length is 131072 "
                b'but the request contains 200000 tokens."}'
            ),
        ),
        (
            400,
            (
                b'{"object":"error","message":"Prompt contains 40000 tokens and 0 draft tokens, too large for '
                b"model with "
                b'32768 maximum context length","type":"invalid_request_prompt","code":"3051"}'
            ),
        ),
        (400, plain("too many tokens: total number of tokens in the prompt cannot exceed 4081 - received 5000.")),
        (400, plain("Input is too long for requested model.")),
        (400, plain("Too many input tokens. Max input tokens: 8192, request input token count: 9000")),
        (400, openai("Invalid request: Your request exceeded model token limit: 8192")),
        (400, b'{"error":{"code":"1261","message":"Prompt exceeds max length"}}'),
        (200, b'{"base_resp":{"status_code":2013,"status_msg":"invalid params, context window exceeds limit"}}'),
        (400, openai("Range of input length should be [1, 30720]", code="invalid_parameter_error")),
        (
            400,
            openai(
                "Please reduce the length of the messages or completion. Current length is 9000 while limit is 8192"
            ),
        ),
        (400, openai("Your input exceeds the context window of this model. Please adjust your input and try again.")),
        (400, openai("Invalid 'input': maximum input length is 8192 tokens.", param="input")),
        (400, openai("litellm.BadRequestError: ContextWindowExceededError: OpenAIException - too long")),
        (
            400,
            openrouter(
                400,
                "Provider returned error",
                provider_name="Azure",
                raw=json.dumps(
                    {"error": {"message": "This model's maximum context length is 8192 tokens.", "code": None}}
                ),
            ),
        ),
        (
            400,
            openrouter(
                400,
                "Provider returned error",
                provider_name="Azure",
                raw=json.dumps({"error": {"message": "no", "code": "context_length_exceeded"}}),
            ),
        ),
    ],
    o.TOO_LARGE: [
        (
            413,
            openai(
                "Request too large for model `llama` in organization `org_x` on tokens per minute (TPM): Limit "
                "8000, Requested 20449, please reduce your message size and try again.",
                "tokens",
                "rate_limit_exceeded",
            ),
        ),
        (
            429,
            openai(
                "Request too large for gpt-4o in organization org-x on tokens per min (TPM): Limit 30,000, "
                "Requested 45,120. The input or output tokens must be reduced.",
                "tokens",
                "rate_limit_exceeded",
            ),
        ),
        (429, openai("Rate limit reached: Limit: 1000, Used: 0, Requested: 1001", "tokens", "rate_limit_exceeded")),
        (429, openai("Tokens per day (TPD): Limit 100000, Requested 200000", "tokens", "rate_limit_exceeded")),
        (429, openai("Extra usage is required for long context requests.", "rate_limit_error")),
        (413, b'{"type":"error","error":{"type":"request_too_large","message":"Request exceeds the maximum size"}}'),
        (413, openai("Request body too large for gpt-4o model. Max size: 8000 tokens.", "", "tokens_limit_reached")),
        (413, b"<html><center><h1>413 Request Entity Too Large</h1></center></html>"),
        (
            400,
            openai(
                "max_tokens is too large: 50000. This model supports at most 4096 completion tokens, whereas you "
                "provided 50000.",
                param="max_tokens",
            ),
        ),
        (400, openai("max_tokens: 9000 > 8192, which is the maximum allowed number of output tokens for claude-3-5")),
    ],
    o.UNAFFORDABLE: [
        (
            402,
            openrouter(
                402,
                "This request requires more credits, or fewer max_tokens. You requested up to 65536 tokens, "
                "but can only afford 10114. To increase, visit https://openrouter.ai/settings/credits",
            ),
        ),
        (402, openai("You requested up to 4096 tokens, but can only afford 12.")),
        (402, openrouter(402, "Prompt tokens limit exceeded: 12345 > 3000. To increase, upgrade to a paid account")),
        (403, openai("requires more credits, or fewer max_tokens")),
    ],
    o.POLICY: [
        (
            403,
            openrouter(
                403,
                'x/y requires moderation on z. Your input was flagged for "hate/threatening".',
                reasons=["hate"],
                flagged_input="kill ...",
                provider_name="OpenAI",
            ),
        ),
        (403, openrouter(403, "no", reasons=["violence"])),
        (403, openai("Your input was flagged by the moderation endpoint")),
        (
            400,
            openai(
                "The response was filtered due to the prompt triggering Azure OpenAI's content management policy.",
                "",
                "content_filter",
                "prompt",
            ),
        ),
        (400, b'{"error":{"message":"no","code":null,"innererror":{"code":"X","content_filter_result":{}}}}'),
        (
            400,
            openai(
                "Your request was rejected as a result of our safety system.",
                "image_generation_user_error",
                "moderation_blocked",
            ),
        ),
        (
            400,
            openai(
                "Invalid prompt: your prompt was flagged as potentially violating our usage policy.",
                code="invalid_prompt",
            ),
        ),
        (400, openai("Output blocked by content filtering policy")),
        (400, gemini(400, "The prompt was blocked due to safety", "INVALID_ARGUMENT")),
        (400, openai("PROHIBITED_CONTENT")),
        (400, openai("Content Exists Risk")),
        (400, openai("The request was rejected because it was considered high risk")),
        (400, openai("Input data may contain inappropriate content.", code="data_inspection_failed")),
        (400, b'{"error":{"code":"1301","message":"x"}}'),
        (200, b'{"base_resp":{"status_code":1026,"status_msg":"new_sensitive"}}'),
        (
            403,
            b'{"code":"The caller does not have permission","error":"Content violates usage guidelines. Failed check"}',
        ),
        (400, openai("litellm.ContentPolicyViolationError: x")),
    ],
    o.UNSUPPORTED: [
        (404, openrouter(404, "No endpoints found that support tool use. To learn more about provider routing, visit")),
        (404, openrouter(404, "No endpoints found that support image input")),
        (404, openrouter(404, "No endpoints found matching your data policy. Enable prompt training here")),
        (404, openrouter(404, "No allowed providers are available for the selected model.")),
        (400, openai("registry.ollama.ai/library/gemma3:1b does not support tools", "api_error")),
        (500, openai("image input is not supported - hint: if this is unexpected, you may need to provide the mmproj")),
        (
            400,
            openai(
                "Invalid content type. image_url is only supported by certain models.",
                param="messages.[0].content.[1].type",
            ),
        ),
        (400, openai("x is not a multimodal model", "BadRequestError")),
        (400, openai("At most 0 image(s) may be provided in one request.", "BadRequestError")),
        (400, openai("Invalid value: 'gpt-5'. Supported values are: 'tts-1'.", code="invalid_value", param="model")),
        (400, openai("must be another", param="model")),
    ],
    o.FORBIDDEN: [
        (403, b'{"error":{"type":"permission_error","message":"Your account does not have the right to do that"}}'),
        (403, b""),
        (403, b"Forbidden"),
        (403, b"error code: 1020"),
        (403, b'{"success":false}'),
        (401, openai("You have insufficient permissions for this operation. Missing scopes: model.request")),
    ],
    o.NOT_FOUND: [
        (
            404,
            openai(
                "Item with id 'rs_1' not found. Items are not persisted when `store` is set to false.", param="input"
            ),
        ),
        (404, openai("No such File object: file-abc")),
        (410, b'{"error":{"message":"it is gone"}}'),
    ],
    o.BAD_REQUEST: [
        (
            400,
            openai(
                "Invalid 'temperature': decimal above maximum value.",
                code="decimal_above_max_value",
                param="temperature",
            ),
        ),
        (400, openai("Invalid 'temperature'", param="temperature")),
        (400, openai("Unknown parameter: 'foo'.", code="unknown_parameter", param="foo")),
        (400, openai("Unrecognized request argument supplied: foo")),
        (
            400,
            openai(
                "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' "
                "instead.",
                code="unsupported_parameter",
                param="max_tokens",
            ),
        ),
        (400, openai("Unsupported value: 'temperature' does not support 0.2 with this model.", param="temperature")),
        # words of the client, repeated
        (400, openai("Invalid value: 'the maximum context length is 8192 tokens'", code="invalid_value", param="user")),
        (400, openai("Invalid type for 'stop': got \"your credit balance is too low\"")),
        (400, openai("Expected a string, got 'the model x does not exist' instead")),
        (400, openai("bad role: `api key not valid`")),
        (400, openai("Incorrect API key provided in the text", param="messages[0].content")),
        (400, openai("the model x does not exist", param="messages")),
        (
            422,
            (
                b'{"detail":[{"type":"string_type","loc":["body","stop"],"msg":"Input should be a valid string",'
                b'"input":"the model x does not exist"}]}'
            ),
        ),
        (
            400,
            (
                b"{\"object\":\"error\",\"message\":\"[{'type': 'int_type', 'loc': ('body', 'n'), 'msg': 'no', "
                b'\'input\': \'user location is not supported\'}]","type":"BadRequestError","param":null,"code":400}'
            ),
        ),
        (422, openai("1 validation error: input_value=the model x does not exist")),
    ],
    o.ENDPOINT_MISSING: [
        (404, b"404 page not found"),
        (404, b'{"detail":"Not Found"}'),
        (404, b""),
        (404, b"Not Found"),
        (404, b'{"error":{"code":404,"message":"File Not Found","type":"not_found_error"}}'),
        (404, openai("Unknown request URL: POST /openai/v1/responses. Please check the URL.", code="unknown_url")),
        (404, openai("Invalid URL (POST /v1/responses)")),
        (404, plain("no POST /v1/responses")),
        (404, plain("Cannot POST /v1/responses")),
        (404, plain("no Route matched with those values")),
        (404, plain("no route for POST /v1/rerank")),
        (404, openai('path "/v1/rerank" not found')),
        (
            404,
            openai(
                "This is not a chat model and thus not supported in the v1/chat/completions endpoint.", param="model"
            ),
        ),
        (400, openai("This model is only supported in v1/responses and not in v1/chat/completions.", param="model")),
        (501, openai("This server does not support embeddings. Start it with `--embeddings`", "not_supported_error")),
        (400, openai("The model `x` does not support Chat Completions API", "BadRequestError")),
        (405, plain("Method Not Allowed")),
    ],
    # -- about this model here
    o.MODEL_MISSING: [
        (404, openai("The model `gpt-9` does not exist or you do not have access to it.", code="model_not_found")),
        (403, openai("Project `proj_x` does not have access to model `gpt-4`")),
        (404, openai("The model `gpt-4-32k` has been deprecated, learn more here: https://x")),
        (
            404,
            (
                b'{"object":"error","message":"The model `x` does not exist.","type":"NotFoundError","param":null,'
                b'"code":404}'
            ),
        ),
        (404, b'{"type":"error","error":{"type":"not_found_error","message":"model: claude-9"}}'),
        (
            404,
            gemini(
                404,
                "models/foo is not found for API version v1main, or is not supported for generateContent. Call "
                "ListModels",
                "NOT_FOUND",
            ),
        ),
        (400, openai("The model `x` has been decommissioned and is no longer supported.", code="model_decommissioned")),
        (
            400,
            openai(
                "The model `x` requires terms acceptance. Please have the org admin accept the terms at https://x",
                code="model_terms_required",
            ),
        ),
        (
            403,
            openai(
                "The model `x` is blocked at the project level.",
                "permissions_error",
                "model_permission_blocked_project",
            ),
        ),
        (403, openai("The model `x` is blocked at the project level.", "permissions_error")),
        (400, openrouter(400, "foo/bar is not a valid model ID")),
        (404, openrouter(404, "No endpoints found for foo/bar:free.")),
        (404, openrouter(404, "This model is unavailable for free. The paid version is available now")),
        (400, b'{"object":"error","message":"Invalid model: foo","type":"invalid_model","param":null,"code":"1500"}'),
        (400, b'{"object":"error","message":"Invalid model: foo","type":"x","param":null,"code":null}'),
        (400, openai("Model Not Exist")),
        (
            404,
            openai(
                "Unable to access model foo. Please visit https://api.together.ai/models", code="model_not_available"
            ),
        ),
        (400, openai("Unable to access non-serverless model foo/bar. Please visit https://x")),
        (404, openai("Model not found, inaccessible, and/or not deployed", "NOT_FOUND", "NOT_FOUND")),
        (
            404,
            (
                b'{"code":"The requested resource was not found","error":"The model grok-9 does '
                b"not exist or your team t does "
                b'not have access to it."}'
            ),
        ),
        (404, plain("model 'command' was removed on September 15, 2025. See https://x")),
        (
            404,
            plain(
                "model 'x' not found, make sure the correct model ID was used and that you have access to the model."
            ),
        ),
        (404, b'{"status":404,"title":"Not Found","detail":"Function \'1f\': Not found for account \'abc\'"}'),
        (410, b'{"status":410,"title":"Gone","detail":"The model \'x\' has reached its end of life on 2026-01-01."}'),
        (400, plain("The provided model identifier is invalid.")),
        (403, plain("You don't have access to the model with the specified model ID.")),
        (400, plain("Invocation of model ID a.b with on-demand throughput isn\u2019t supported. Retry your request")),
        (400, openai("Unavailable model: x", "", "unavailable_model")),
        (404, openai("Not found the model kimi-x or Permission denied", "resource_not_found_error")),
        (400, b'{"error":{"code":"1211","message":"\xe6\xa8\xa1\xe5\x9e\x8b\xe4\xb8\x8d\xe5\xad\x98\xe5\x9c\xa8"}}'),
        (200, b'{"base_resp":{"status_code":2013,"status_msg":"invalid params, unknown model \'x\'"}}'),
        (404, b'{"error":"model \'x\' not found"}'),
        (404, openai("No models loaded. Please load a model in the developer page or use the `lms load` command.")),
        (
            400,
            openai(
                "/chat/completions: Invalid model name passed in model=x. Call `/v1/models` to view available models"
            ),
        ),
        (401, openai("key not allowed to access model.", "key_model_access_denied", "401", "model")),
        (
            400,
            openai(
                "The requested model 'x' is not supported by any provider you have enabled.", code="model_not_supported"
            ),
        ),
        (403, openai("The model x is not available in your region.")),
        (403, openai("This model is not supported in this region")),
        (403, openai("You are not allowed to access this model")),
        (403, plain("You do not have permission to use the model x")),
        (422, openai("The model 'x' is no longer available")),
        (503, openai("No available channel for model x under group default", "new_api_error", "model_not_found")),
        (405, openai("The model `x` does not exist")),
        # the key and the credit of a provider behind are not ours
        (
            403,
            openrouter(
                403, "Provider returned error", provider_name="Google", raw='{"error":{"message":"API key not valid"}}'
            ),
        ),
        (402, openrouter(402, "Provider returned error", provider_name="Together", raw="Insufficient balance")),
        (401, openrouter(401, "Provider returned error", provider_name="OpenAI")),
        (
            400,
            openrouter(
                400,
                "Provider returned error",
                provider_name="Google AI Studio",
                raw=json.dumps({"error": {"code": 400, "message": "User location is not supported for the API use."}}),
            ),
        ),
    ],
    o.LOADING: [
        (503, b'{"error":{"code":503,"message":"Loading model","type":"unavailable_error"}}'),
        (503, b'{"error":"llm server loading model"}'),
        (500, b'{"error":"llm server loading model"}'),
        (503, b'{"error":"Model foo/bar is currently loading","estimated_time":20.0}'),
        (503, openai("The model is still loading, please try again later")),
        (503, plain("Model with name x is not ready.")),
        (503, b"Model is being loaded"),
        (503, plain("server is starting")),
        (200, b'{"id":"sync-1","status":"IN_QUEUE"}'),
        (200, b'{"delayTime":1,"id":"x","status":"IN_PROGRESS"}'),
    ],
    o.OVERLOADED: [
        (503, openai("The model is overloaded. Please try again later.")),
        (503, b'{"error":{"message":"busy","type":"unavailable_error"}}'),
    ],
    o.SERVER_ERROR: [
        (500, b'{"error":"error loading model: out of memory"}'),
        (500, openai("Failed loading model")),
        (200, b'{"id":"sync-1","status":"FAILED"}'),
        (500, openai("the model does not exist any more in memory")),
    ],
    # -- about an allowance
    o.RATE_LIMITED: [
        (
            429,
            openai(
                "Rate limit reached for gpt-4o on tokens per min (TPM): Limit 30000, Used 29000, Requested 2000. "
                "Please "
                "try again in 2s.",
                "tokens",
                "rate_limit_exceeded",
            ),
        ),
        (
            429,
            b'{"error":{"message":"Rate limit exceeded: free-models-per-min. ","code":429,"metadata":{"headers":{}}}}',
        ),
        (403, b'{"error":{"code":403,"details":[{"reason":"RATE_LIMIT_EXCEEDED"}]}}'),
    ],
    # -- about the account
    o.NO_CREDIT: [
        (
            400,
            (
                b'{"type":"error","error":{"type":"invalid_request_error","message":"Your credit '
                b"balance is too low to access "
                b'the Anthropic API. Please go to Plans & Billing"}}'
            ),
        ),
        (402, openrouter(402, "Insufficient credits. Add more using https://openrouter.ai/settings/credits")),
        (403, b'{"code":30001,"message":"Sorry, your account balance is insufficient"}'),
        (
            403,
            b'{"code":"x","error":"Your newly created team doesn\'t have any credits yet. You can purchase credits"}',
        ),
        (
            429,
            (
                b'{"code":"x","error":"Your team t has either used all available credits or reached its monthly '
                b'spending limit."}'
            ),
        ),
        (429, openai("Your prepayment credits are depleted.", "RESOURCE_EXHAUSTED")),
        (400, openai("Access denied, please make sure your account is in good standing.", code="Arrearage")),
        (400, openai("Budget has been exceeded! Current cost: 1, Max budget: 1", "budget_exceeded")),
        (
            429,
            openai(
                "You exceeded your current quota, please check your plan and billing details.",
                "insufficient_quota",
                "insufficient_quota",
            ),
        ),
        (402, openai("You have exceeded your monthly included credits for Inference Providers.")),
    ],
    o.BAD_CREDENTIAL: [
        (403, openai("Your API key was reported as leaked. Please use another API key.", "PERMISSION_DENIED")),
        (403, openai("Invalid API key")),
        (403, plain("The security token included in the request is invalid.")),
        (400, openai("API key expired. Please renew the API key.")),
        (403, openai("no", code="invalid_api_key")),
        (401, b""),
        (401, openai("what?")),
    ],
    o.ACCOUNT_BLOCKED: [
        (
            400,
            (
                b'[{"error":{"code":400,"message":"User location is not supported for the API use.",'
                b'"status":"FAILED_PRECONDITION"}}]'
            ),
        ),
        (
            403,
            openai(
                "Country, region, or territory not supported",
                "request_forbidden",
                "unsupported_country_region_territory",
            ),
        ),
        (403, openai("Country, region, or territory not supported")),
        (403, openai("Your account has been suspended")),
        (403, openai("This organization has been disabled.")),
        (400, openai("Organization has been restricted. Please reach out to support", code="organization_restricted")),
        (403, plain("Access denied due to Virtual Network/Firewall rules.")),
    ],
}

# Other wordings of the same: what a status and a message alone mean.
WORDINGS: dict[Outcome, list[tuple[int, str]]] = {
    o.MODEL_MISSING: [
        (404, "Your organization must be verified to use the model `gpt-5`. Please go to: https://x"),
        (403, "Model is not enabled for this project"),
        (403, "You do not have access to this model"),
        (403, "Access to model denied"),
        (403, "The requested model is not available on your plan"),
        (403, "This model isn't available for your account"),
        (400, "Model 'x' is no longer supported"),
        (400, "Unsupported model: x"),
        (400, "Model not supported: gpt-x"),
        (400, "The model gpt-x is not supported."),
        (404, "Model gpt-x was not found in the registry"),
        (400, "Unknown model 'abc'"),
        (400, "No such model: abc"),
        (400, "'abc' is not a valid model"),
        (400, "Model abc is deprecated. Use def"),
        (410, "Model abc was discontinued"),
        (404, "Requested entity was not found. models/gemini-1.0 is not found"),
        (400, "model abc has been retired on 2026-01-01"),
        (403, "Your API key does not have access to model abc"),
        (403, "You are not authorized to use this model"),
        (403, "This API key is not allowed to use model abc"),
        (404, "model abc doesn't exist"),
        (422, "Model abc is unavailable"),
        (400, "The specified model does not exist"),
        (404, "The deployment abc does not exist"),
        (404, "The API deployment for this resource does not exist."),
        (400, "Selected model is disabled"),
        (403, "model access is denied due to IAM user"),
        (403, "Model terms of service must be accepted"),
        (403, "To use this model you must accept the license on Hugging Face"),
        (403, "This model requires you to accept terms"),
        (400, "Model abc is blocked for this organization"),
        (403, "The model 'x' is not available in your country"),
        (404, "This model is not available in the EU"),
        (
            404,
            "Publisher Model `projects/x/publishers/google/models/gemini` was not found or your project does not",
        ),
        (404, "Could not find model abc"),
        (400, "Invalid model identifier"),
        (400, "invalid model: abc"),
    ],
    o.ENDPOINT_MISSING: [
        (404, "The requested endpoint does not exist"),
        (404, "Endpoint not found"),
        (404, "This endpoint is not supported"),
        (404, "Path /v1/responses was not found"),
        (404, "Not Found: /v1/responses"),
        (404, "URL not found"),
        (404, "Unknown endpoint"),
        (404, "route /responses not found"),
        (404, "No matching route"),
        (404, "Requested path not found"),
        (404, "not found"),
        (404, "404 Not Found"),
        (404, "Resource not found"),
        (
            404,
            "The requested URL was not found on the server. Check your spelling.",
        ),
        (404, "API endpoint not found"),
        (404, "no Route matched with those values"),
        (404, "Responses API is not supported"),
        (400, "The Responses API is not supported by this model"),
        (501, "embeddings are not supported"),
        (405, "Method POST not allowed"),
        (404, "POST /v1/responses not found"),
        (404, "No handler for /v1/responses"),
        (404, "There is no such endpoint /v1/responses"),
    ],
    o.LOADING: [
        (503, "Model is loading, please retry"),
        (503, "Model not ready yet"),
        (503, "loading model weights"),
        (503, "The model is starting up"),
        (503, "Model is warming up"),
        (503, "Service is starting"),
        (503, "vLLM engine is not ready"),
        (503, "model foo is downloading"),
        (503, "Model is still being loaded into memory"),
        (503, "The server is still loading"),
        (503, "No workers available, scaling up"),
        (503, "Model foo is initializing"),
        (503, "Waiting for model to load"),
        (503, "The model is currently being loaded. Please try again in 20 seconds"),
    ],
    o.OVERLOADED: [
        (503, "The model is overloaded"),
        (503, "Model is not available"),
        (503, "failed to load model"),
        (503, "Service Unavailable"),
        (503, "unable to load model: out of memory"),
        (503, "Failed loading model weights"),
    ],
    o.CONTEXT_LENGTH: [
        (400, "Requested token count exceeds the model's maximum context length of 8192 tokens."),
        (400, "This model's maximum context length is 8,192 tokens"),
        (400, "Input is longer than the maximum context"),
        (400, "Prompt length 9000 exceeds context window 8192"),
        (400, "prompt tokens (9000) exceed the limit (8192)"),
        (400, "Sequence length 9000 exceeds max 8192"),
        (400, "The total number of tokens exceeds the limit"),
        (400, "Total tokens exceed maximum context"),
        (400, "The prompt size exceeds the context window size and cannot be processed."),
        (400, "input tokens exceeds the model context window"),
        (400, "Token limit exceeded: 9000 > 8192"),
        (400, "Your prompt is too long. Please reduce"),
        (400, "messages resulted in 9000 tokens. Please reduce the length of the messages."),
        (400, "the prompt contains too many tokens"),
        (400, "tokens in request more than max tokens allowed"),
        (400, "input is too long for this model"),
        (400, "Input length 9000 exceeds maximum allowed length 8192"),
        (400, "context length exceeded"),
        (400, "exceeded max context length"),
        (400, "The number of input tokens (9000) is larger than the maximum (8192)"),
    ],
    o.NO_CREDIT: [
        (403, "Your credit balance is too low"),
        (400, "You have insufficient funds"),
        (402, "Payment Required"),
        (403, "Not enough credits"),
        (400, "Your balance is not enough"),
        (403, "Your account has run out of credits"),
        (429, "You have exceeded your spending limit"),
        (403, "quota exceeded: no remaining balance"),
        (400, "account balance insufficient"),
        (429, "Your account is out of credits"),
        (403, "Credit limit reached, please top up"),
        (400, "Please recharge your account"),
        (403, "Your trial credits have expired"),
        (403, "Your free credits have been used up"),
        (400, "Account has negative balance"),
    ],
    o.ACCOUNT_BLOCKED: [
        (403, "Your account is suspended"),
        (403, "Account disabled"),
        (403, "This service is not available in your country"),
        (403, "Requests from your region are not supported"),
        (403, "Your organization has been deactivated"),
        (403, "access denied: your ip address is not allowed"),
        (403, "Unsupported region"),
        (400, "User location is not supported for the API use without a billing account linked."),
        (403, "Your access has been terminated"),
        (403, "Country not supported"),
    ],
    o.POLICY: [
        (403, "Your input was flagged for violence"),
        (400, "Request blocked by content policy"),
        (400, "The content was blocked by our safety filters"),
        (400, "Your request was blocked by our moderation system"),
        (400, "This request violates our usage policies"),
        (400, "Content policy violation"),
        (400, "content moderation failed"),
        (400, "I'm sorry, this prompt is not allowed by our safety guidelines"),
        (400, "The input may contain sensitive content"),
        (400, "Blocked by guardrail"),
        (403, "content flagged"),
        (400, "Your prompt may violate our policies"),
        (400, "prompt was rejected by the safety system"),
    ],
    o.BAD_REQUEST: [
        (400, "'messages' is a required property"),
        (400, "Invalid 'messages[0].role'"),
        (400, "tool_choice is not supported without tools"),
        (400, "temperature is not supported for this model"),
        (400, "This model does not support the temperature parameter"),
        (400, "Invalid schema for response_format"),
        (400, "logprobs are not supported"),
        (400, "n > 1 is not supported"),
        (400, "max_tokens must be positive"),
        (400, "stop: too many stop sequences"),
        (400, "Unknown field: model_kwargs"),
        (400, "invalid image url"),
        (400, "The image could not be found"),
        (400, "messages: at least one message is required"),
        (400, "Prompt contains invalid tokens"),
        (400, "Invalid token at position 7"),
        (400, "Error while downloading https://x/a.png: access token expired"),
        (400, "Failed to fetch image_url: Invalid API key"),
        (400, "MCP server x returned 401: invalid api key"),
        (400, "country 'XX' is not supported for user_location"),
        (400, "Unsupported region in web_search"),
        (400, "tool search: model x-mini could not fetch the document: not found"),
        (400, "voice is not available"),
        (400, "Error retrieving file: account suspended"),
        (400, "stop sequences: too many"),
        (400, "the value of n is too large"),
    ],
    o.UNSUPPORTED: [
        (400, "This model does not support function calling"),
        (400, "vision is not supported by this model"),
    ],
    o.TOO_LARGE: [
        (
            400,
            "`max_tokens` must be less than or equal to `8192`, which is less than the context window",
        ),
        (400, "Invalid max_tokens value, the valid range of max_tokens is [1, 8192]"),
        (400, "max_tokens (9000) exceeds the limit (4096)"),
        (413, "prompt too large"),
        (413, "x"),
    ],
    o.BAD_CREDENTIAL: [
        (403, "The security token included in the request is expired"),
        (403, "Invalid bearer"),
        (400, "Your API key has been revoked"),
        (403, "This API key is disabled"),
        (400, "Missing API key"),
    ],
    o.RATE_LIMITED: [
        (429, "You exceeded your current quota, please check your plan and billing details"),
        (429, "The number of input tokens exceeds the limit of 40,000 per minute"),
        (429, "Too many requests"),
        (429, "Too many tokens per minute"),
    ],
    o.FORBIDDEN: [
        (403, "Forbidden"),
        (403, "Access denied"),
        (403, "You may not do that"),
        (401, "Missing scopes: api.responses.write"),
    ],
}
