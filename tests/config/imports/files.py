"""Files as other programs' users write them."""

LITELLM = """\
model_list:
  - model_name: gpt-4o
    litellm_params:
      model: azure/my-gpt-4o
      api_base: https://res.openai.azure.com/
      api_key: os.environ/AZURE_API_KEY
      api_version: "2024-10-21"
      rpm: 600
  - model_name: gpt-4o
    litellm_params:
      model: openai/gpt-4o
      api_key: os.environ/OPENAI_API_KEY
      rpm: 200
  - model_name: claude
    litellm_params:
      model: anthropic/claude-sonnet-5
      api_key: os.environ/ANTHROPIC_API_KEY
      temperature: 0.2
  - model_name: qwen
    litellm_params:
      model: openai/qwen3-8b
      api_base: http://gpu.internal:8000/v1
      api_key: none
  - model_name: bed
    litellm_params:
      model: bedrock/anthropic.claude-v2
      aws_region_name: us-east-1
litellm_settings:
  drop_params: true
  num_retries: 2
  request_timeout: 300
  fallbacks: [{"claude": ["gpt-4o", "qwen"]}]
  callbacks: ["langfuse"]
router_settings:
  routing_strategy: simple-shuffle
  model_group_alias: {"gpt-4": "gpt-4o"}
general_settings:
  master_key: sk-1234567890abcdef
"""

PROVIDERS = """\
default_provider: litellm
providers:
  litellm:
    type: openai_compatible
    base_url: http://localhost:4000
    models_endpoint: /models
    key_env: null
  openrouter:
    type: openrouter
    base_url: https://openrouter.ai/api/v1
    models_endpoint: /api/v1/models/user
    key_env: MY_OPENROUTER_KEY
  anthropic:
    type: anthropic
    base_url: https://api.anthropic.com
    key_env: ANTHROPIC_API_KEY
"""

HARNESS = """\
roles:
  chat: {provider: litellm, model: gpt-4o}
  vision: {provider: openrouter, model: qwen/qwen3-vl-8b-instruct}
  planner: {provider: anthropic, model: claude-opus-4}
harness: {loop: 3}
"""

TOML = """\
[providers.anthropic]
api_key = "sk-ant-not-to-be-copied"
rate_limit_rpm = 50

[providers.openrouter]
api_key = "${OPENROUTER_API_KEY}"

[providers.local]
api_base = "http://localhost:8080/v1"
models = ["nanbeige4.1-3b"]

[models]
main = "anthropic/claude-opus-4"
rlm = "anthropic/claude-haiku"
memory = "openrouter/google/gemma-3-27b-it:free"

[roles]
reasoning = "main"
compaction = "memory"

[fallback]
main = ["main", "rlm", "local/nanbeige4.1-3b"]
"""

SINGLE = """\
provider = "openrouter"
api_key = "sk-or-not-to-be-copied"
model = "google/gemma-3-27b-it:free"
rate_limit_rpm = 20
"""

DOTENV = """\
# the application
LLM_PROVIDER=runpod
RUNPOD_API_KEY=rpa_secret
RUNPOD_ENDPOINT_ID=abc123
RUNPOD_MODEL_NAME=mistralai/Mistral-7B-Instruct-v0.2
CUSTOM_LLM_BASE_URL=http://localhost:9999/v1
OPENROUTER_API_KEY=sk-or-secret
DEBUG=1
"""

AGENT = """\
{
	"name": "Researcher",
	"model": "openai:gpt-4o-mini",
	"fallbackModel": "groq:llama3-70b",
	"temperature": 0.3,
	"systemPrompt": "You are thorough."
}
"""

OPENROUTER = """\
{"models": ["anthropic/claude-sonnet-5", "google/gemma-3-27b-it:free"], "route": "fallback",
 "provider": {"order": ["DeepInfra"], "allow_fallbacks": false}}
"""

ROUTER = """\
{
  // my set-up
  "APIKEY": "${CCR_KEY}",
  "PORT": 3456,
  "API_TIMEOUT_MS": 600000,
  "LOG": true,
  "Providers": [
    {"name": "openrouter", "api_base_url": "https://openrouter.ai/api/v1/chat/completions", "api_key": "sk-or-clear",
     "models": ["google/gemini-2.5-pro"], "transformer": {"use": ["openrouter"]}},
    {"name": "ollama", "api_base_url": "http://localhost:11434/v1/chat/completions", "api_key": "ollama",
     "models": ["qwen2.5-coder:latest"]},
    {"name": "gemini", "api_base_url": "https://generativelanguage.googleapis.com/v1beta/models/",
     "api_key": "$GEMINI_API_KEY", "models": ["gemini-2.5-pro"]}
  ],
  "Router": {
    "default": "openrouter,google/gemini-2.5-pro",
    "background": "ollama,qwen2.5-coder:latest",
    "think": "gemini,gemini-2.5-pro",
    "longContext": "gemini,gemini-2.5-pro",
    "longContextThreshold": 80000
  }
}
"""
