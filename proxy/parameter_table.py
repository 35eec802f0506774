"""The table of chat-completion parameters: what each is, its type and range, and its fate in each dialect. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter: ``kind`` names its check; ``least`` and ``most`` bound a number, or a length.

    ``anthropic`` and ``gemini`` are its fates there: pass, ``→ another name``, translate, drop (and say so), refuse.
    To an OpenAI-compatible upstream everything passes, but for the upstream's own rules.
    """

    name: str
    kind: str
    meaning: str = ""
    least: float | None = None
    most: float | None = None
    choices: tuple[str, ...] = ()
    refuse: str = ""
    anthropic: str = "drop"
    gemini: str = "drop"


EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
MOST_PARAMETERS = 200
UNPRICED = "costs money that no price covers here, so it is not available"
SECOND = "is a second limit beside max_tokens and n, which are what counts here"

TABLE = (
    Parameter(
        "model",
        "string",
        "The model's name or one of its aliases.",
        least=1,
        most=200,
        anthropic="translate",
        gemini="translate",
    ),
    Parameter(
        "messages",
        "array",
        "The conversation: system, developer, user, assistant and tool messages.",
        least=1,
        most=20_000,
        anthropic="translate",
        gemini="translate",
    ),
    Parameter(
        "stream",
        "boolean",
        "Send the answer as server-sent events, as it is made.",
        anthropic="translate",
        gemini="translate",
    ),
    Parameter(
        "stream_options",
        "object",
        "include_usage: true adds a last event with the usage.",
        anthropic="translate",
        gemini="translate",
    ),
    Parameter(
        "temperature",
        "number",
        "How freely the model chooses; upstreams with a smaller range get their most.",
        least=0,
        most=2,
        anthropic="translate",
        gemini="→ generationConfig.temperature",
    ),
    Parameter(
        "top_p",
        "number",
        "Choose among the likeliest words whose probabilities add up to this.",
        least=0,
        most=1,
        anthropic="pass",
        gemini="→ generationConfig.topP",
    ),
    Parameter(
        "n",
        "integer",
        "How many answers to make.",
        least=1,
        most=128,
        anthropic="translate",
        gemini="→ generationConfig.candidateCount",
    ),
    Parameter(
        "max_tokens",
        "integer",
        "The most tokens to write. Older name of max_completion_tokens.",
        least=1,
        most=10_000_000,
        anthropic="translate",
        gemini="→ generationConfig.maxOutputTokens",
    ),
    Parameter(
        "max_completion_tokens",
        "integer",
        "The most tokens to write, reasoning included.",
        least=1,
        most=10_000_000,
        anthropic="→ max_tokens",
        gemini="→ generationConfig.maxOutputTokens",
    ),
    Parameter(
        "stop",
        "stop",
        "A text, or up to four, at which the answer ends.",
        most=4,
        anthropic="→ stop_sequences",
        gemini="→ generationConfig.stopSequences",
    ),
    Parameter(
        "frequency_penalty",
        "number",
        "Make repeated words less likely.",
        least=-2,
        most=2,
        gemini="→ generationConfig.frequencyPenalty",
    ),
    Parameter(
        "presence_penalty",
        "number",
        "Make words that were used less likely.",
        least=-2,
        most=2,
        gemini="→ generationConfig.presencePenalty",
    ),
    Parameter("logprobs", "boolean", "Tell how likely each token was.", gemini="→ generationConfig.responseLogprobs"),
    Parameter(
        "top_logprobs",
        "integer",
        "How many alternatives to tell for each token; needs logprobs.",
        least=0,
        most=20,
        gemini="→ generationConfig.logprobs",
    ),
    Parameter("logit_bias", "bias", "Make tokens, by their number, likelier or less likely, from -100 to 100."),
    Parameter(
        "response_format",
        "format",
        "text, json_object, or json_schema with a schema.",
        anthropic="translate",
        gemini="translate",
    ),
    Parameter(
        "seed",
        "integer",
        "Choose the same way again, as far as the model can.",
        least=-(2**63),
        most=2**63 - 1,
        gemini="→ generationConfig.seed",
    ),
    Parameter(
        "tools", "array", "Functions the model may call.", least=0, most=1024, anthropic="translate", gemini="translate"
    ),
    Parameter(
        "tool_choice",
        "string or object",
        "Whether to call one, or one named function.",
        choices=("none", "auto", "required"),
        anthropic="translate",
        gemini="translate",
    ),
    Parameter("parallel_tool_calls", "boolean", "false: at most one call at a time.", anthropic="translate"),
    Parameter(
        "functions", "array", "Older form of tools.", least=0, most=1024, anthropic="translate", gemini="translate"
    ),
    Parameter(
        "function_call", "string or object", "Older form of tool_choice.", anthropic="translate", gemini="translate"
    ),
    Parameter(
        "reasoning_effort",
        "choice",
        "How much the model thinks before it answers.",
        choices=EFFORTS,
        anthropic="translate",
        gemini="translate",
    ),
    Parameter(
        "reasoning",
        "object",
        "effort or max_tokens of thinking, as some clients send it.",
        anthropic="translate",
        gemini="translate",
    ),
    Parameter("thinking", "object", "Thinking as Anthropic's clients ask for it.", anthropic="translate"),
    Parameter("verbosity", "choice", "How long answers are.", choices=("low", "medium", "high")),
    Parameter(
        "top_k",
        "integer",
        "Choose among this many likeliest tokens.",
        least=0,
        most=1_000_000,
        anthropic="pass",
        gemini="→ generationConfig.topK",
    ),
    Parameter("min_p", "number", "Leave out tokens less likely than this share of the likeliest.", least=0, most=1),
    Parameter(
        "repetition_penalty", "number", "Make repeated tokens less likely, as open models do it.", least=0, most=10
    ),
    Parameter("user", "string", "Your own name for the end user.", least=0, most=512, anthropic="→ metadata.user_id"),
    Parameter(
        "safety_identifier",
        "string",
        "Your own name for the end user, for the provider's safety checks.",
        least=0,
        most=512,
    ),
    Parameter(
        "prompt_cache_key",
        "string",
        "Calls with the same key go to the same route while its cache is warm.",
        least=0,
        most=512,
    ),
    Parameter("prompt_cache_options", "object", "How the provider caches the prompt."),
    Parameter("prompt_cache_retention", "string", "How long the provider keeps the cached prompt.", least=0, most=64),
    Parameter(
        "cache_control", "object", "Cache the prompt up to here, as Anthropic's clients ask for it.", anthropic="pass"
    ),
    Parameter("safety_settings", "array", "Gemini's thresholds of harm.", least=0, most=100, gemini="→ safetySettings"),
    Parameter("chat_template_kwargs", "object", "What open models' chat templates take."),
    Parameter(
        "aspect_ratio",
        "string",
        "Of an image, such as 16:9.",
        least=1,
        most=20,
        gemini="→ generationConfig.imageConfig.aspectRatio",
    ),
    Parameter(
        "image_size",
        "string",
        "Of an image, such as 1K, 2K or 4K.",
        least=1,
        most=20,
        gemini="→ generationConfig.imageConfig.imageSize",
    ),
    Parameter("metadata", "metadata", "Up to 16 pairs of your own.", most=16),
    Parameter("store", "boolean", "Nothing is stored here; it goes to upstreams that know it."),
    Parameter(
        "service_tier",
        "choice",
        "Priority or flex processing, where the model has a price for it.",
        choices=("auto", "default", "flex", "priority"),
        gemini="→ serviceTier",
    ),
    Parameter(
        "modalities",
        "modalities",
        "What the answer is made of: text, image.",
        gemini="→ generationConfig.responseModalities",
    ),
    Parameter("prediction", "object", "Text that the answer will mostly repeat."),
    Parameter("audio", "object", refuse=UNPRICED),
    Parameter("web_search_options", "object", refuse=UNPRICED),
    Parameter("web_search", "object", refuse=UNPRICED),
    Parameter("enable_search", "object", refuse=UNPRICED),
    Parameter("search_parameters", "object", refuse=UNPRICED),
    Parameter("plugins", "object", refuse=UNPRICED),
    Parameter("mcp_servers", "object", refuse=UNPRICED),
    Parameter("inference_geo", "object", refuse=UNPRICED),
    Parameter("speed", "object", refuse=UNPRICED),
    Parameter("best_of", "object", refuse=UNPRICED),
    # what some servers take for max_tokens or n, and prefer to it: llama.cpp, TGI, KoboldCpp, Ollama
    *(
        Parameter(name, "object", refuse=SECOND)
        for name in (
            "max_gen_tokens",
            "max_length",
            "max_new_tokens",
            "max_output_tokens",
            "max_tokens_to_sample",
            "n_cmpl",
            "n_predict",
            "num_completions",
            "num_predict",
            "num_return_sequences",
        )
    ),
)

STEERING = frozenset(
    {
        "api_base",
        "base_url",
        "api_key",
        "api_version",
        "api_type",
        "extra_headers",
        "extra_body",
        "extra_query",
        "headers",
        "custom_llm_provider",
        "user_config",
        "organization",
        "project",
        "fallbacks",
        "mock_response",
        "litellm_params",
        "model_list",
        "deployment_id",
        "num_retries",
        "timeout",
        "caching",
        "router_settings",
        "azure_ad_token",
        "vertex_project",
        "vertex_credentials",
        "aws_access_key_id",
        "aws_secret_access_key",
        "provider_options",
        "models",
        "route",
        "provider",
        "preset",
        "transforms",
    }
)
"""Names by which a client of some gateway, ours or one behind us, could choose its upstream, model or credential.
Here nobody can."""
