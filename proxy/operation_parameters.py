"""Parameters of embeddings and of images: what each is, its type and range, and its fate in each dialect. Pure."""

from __future__ import annotations

from proxy import parameters
from proxy.parameter_table import Parameter

NO_STREAM = "is for streams, which images have none of here"

EMBEDDINGS = (
    Parameter("model", "string", "The model's name or one of its aliases.", least=1, most=200, gemini="translate"),
    Parameter("input", "input", "A text, up to 2048 texts, or the same as arrays of tokens.", gemini="translate"),
    Parameter(
        "encoding_format",
        "choice",
        "How numbers are written: an array, or base64 of little-endian single precision.",
        choices=("float", "base64"),
        gemini="translate",
    ),
    Parameter(
        "dimensions",
        "integer",
        "How long the vectors are, for models that can shorten them.",
        least=1,
        most=100_000,
        gemini="→ outputDimensionality",
    ),
    Parameter("user", "string", "Your own name for the end user.", least=0, most=512),
)

IMAGES = (
    Parameter("model", "string", "The model's name or one of its aliases.", least=1, most=200, gemini="translate"),
    Parameter("prompt", "string", "What to draw.", least=1, most=32_000, gemini="translate"),
    Parameter("n", "integer", "How many images to make.", least=1, most=10, gemini="→ generationConfig.candidateCount"),
    Parameter("size", "string", "Width x height in pixels, or auto.", least=1, most=20, gemini="translate"),
    Parameter("quality", "string", "How much care is taken, such as low, high or hd.", least=1, most=20),
    Parameter("background", "choice", "What is behind it.", choices=("transparent", "opaque", "auto")),
    Parameter("output_format", "choice", "The kind of file.", choices=("png", "jpeg", "webp")),
    Parameter("output_compression", "integer", "Of a JPEG or WebP, in percent.", least=0, most=100),
    Parameter(
        "response_format",
        "choice",
        "A link, or the data itself; models that only do one leave it out.",
        choices=("url", "b64_json"),
    ),
    Parameter("style", "choice", "The look, in older models.", choices=("vivid", "natural")),
    Parameter("moderation", "choice", "How strictly prompts are judged.", choices=("low", "auto")),
    Parameter("user", "string", "Your own name for the end user.", least=0, most=512),
    Parameter(
        "aspect_ratio",
        "string",
        "Such as 16:9.",
        least=1,
        most=20,
        gemini="→ generationConfig.imageConfig.aspectRatio",
    ),
    Parameter(
        "image_size",
        "string",
        "Such as 1K, 2K or 4K.",
        least=1,
        most=20,
        gemini="→ generationConfig.imageConfig.imageSize",
    ),
    Parameter("stream", "boolean", "Only false.", gemini="translate"),
    Parameter("partial_images", "integer", refuse=NO_STREAM),
)

EMBEDDINGS_CHECKS = parameters.checks_of(EMBEDDINGS)
IMAGES_CHECKS = parameters.checks_of(IMAGES)
