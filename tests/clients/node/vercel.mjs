// The Vercel AI SDK with its OpenAI providers, as it comes: node vercel.mjs <base URL> <key> <scenes as JSON>
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateObject, generateText, Output, stepCountIs, streamObject, streamText, tool } from "ai";
import { z } from "zod";
import { all, base, counting, key, megabytes, png, run, SAID } from "./cases.mjs";

globalThis.AI_SDK_LOG_WARNINGS = false;
const Echo = z.object({ echo: z.string() });
const found = { look_up: tool({ description: "Looks a text up.", inputSchema: z.object({ text: z.string() }), execute: ({ text }) => `found ${text}` }) };

const providers = {
  chat: (options = {}) => createOpenAI({ baseURL: base, apiKey: key, ...options }).chat,
  responses: (options = {}) => createOpenAI({ baseURL: base, apiKey: key, ...options }).responses,
  compatible: (options = {}) =>
    createOpenAICompatible({ name: "tollgate", baseURL: base, apiKey: key, includeUsage: true, supportsStructuredOutputs: true, ...options }),
};

await run((model, more) => {
  const chat = providers[more.provider];
  const told = { maxRetries: 0, prompt: SAID };
  const usage = (one) => ({ input: one.inputTokens, output: one.outputTokens });
  return {
    async plain() {
      const answer = await generateText({ ...told, model: chat()(model("echo")), system: "Be brief.", temperature: 0.5 });
      return { text: answer.text, finish: answer.finishReason, usage: usage(answer.usage), model: answer.response.modelId };
    },
    async stream() {
      const answer = streamText({ ...told, model: chat()(model("echo")) });
      return { text: (await all(answer.textStream)).join(""), finish: await answer.finishReason, usage: usage(await answer.usage) };
    },
    async tools() {
      const answer = await generateText({ ...told, prompt: "Paris", model: chat()(model("tools")), tools: found, stopWhen: stepCountIs(3) });
      return { text: answer.text, calls: answer.steps[0].toolCalls.map((call) => call.input) };
    },
    async streamedTools() {
      const answer = streamText({ ...told, prompt: "Paris", model: chat()(model("tools")), tools: found, stopWhen: stepCountIs(3) });
      const parts = await all(answer.fullStream);
      const calls = parts.filter((part) => part.type === "tool-call").map((part) => part.input);
      return { text: await answer.text, calls, errors: parts.filter((part) => part.type === "error").length };
    },
    async shape() {
      return (await generateObject({ ...told, model: chat()(model("json")), schema: Echo })).object;
    },
    async shapeOfText() {
      return (await generateText({ ...told, model: chat()(model("json")), output: Output.object({ schema: Echo }) })).output;
    },
    async streamedShape() {
      const answer = streamObject({ ...told, model: chat()(model("json")), schema: Echo });
      return (await all(answer.partialObjectStream)).at(-1);
    },
    async picture() {
      const content = [{ type: "text", text: "What is this?" }, { type: "image", image: png(), mediaType: "image/png" }];
      return (await generateText({ maxRetries: 0, model: chat()(model("echo")), messages: [{ role: "user", content }] })).text;
    },
    async fiftyAtOnce() {
      const numbers = Array.from({ length: 50 }, (_, number) => `number ${number}`);
      const one = chat()(model("echo"));
      const answers = await Promise.all(numbers.map((prompt) => generateText({ maxRetries: 0, model: one, prompt })));
      return answers.filter((answer, place) => answer.text === numbers[place]).length;
    },
    async fiveMegabytes() {
      return usage((await generateText({ maxRetries: 0, model: chat()(model("fixed")), prompt: megabytes(5), maxOutputTokens: 100 })).usage);
    },
    async aborted() {
      const controller = new AbortController();
      const answer = streamText({ ...told, model: chat()(model("paced-100x10")), abortSignal: controller.signal });
      let parts = 0;
      for await (const part of answer.fullStream) {
        if (part.type === "text-delta") {
          parts += 1;
          controller.abort();
        }
        if (part.type === "abort") return { parts, aborted: true };
      }
      return { parts, aborted: false };
    },
    badRequest: () => generateText({ ...told, model: chat()(model("echo")), temperature: 3 }),
    wrongKey: () => generateText({ ...told, model: chat({ apiKey: "sk-wrong" })(model("echo")) }),
    forbidden: () => generateText({ ...told, model: chat({ apiKey: more.narrow })(model("fixed")) }),
    notFound: () => generateText({ ...told, model: chat()(model("nothing")) }),
    upstream500: () => generateText({ ...told, model: chat()(more.models["500"]) }),
    upstream503: () => generateText({ ...told, model: chat()(more.models["503"]) }),
    async quota() {
      const { at, fetch } = counting();
      const asked = generateText({ prompt: SAID, maxRetries: 0, model: chat({ apiKey: more.spent, fetch })(model("echo")) });
      const ended = await asked.catch((error) => ({ status: error.statusCode, body: JSON.parse(error.responseBody).error.code }));
      return { ...ended, calls: at.length };
    },
    async patient() {
      const { at, fetch } = counting();
      const asked = generateText({ prompt: SAID, maxRetries: 1, model: chat({ fetch })(more.models["429-1"]) });
      const kind = await asked.then(() => "answered", (error) => error.name);
      return { kind, calls: at.length, waited: at.length > 1 ? at[1] - at[0] : 0 };
    },
  };
});
