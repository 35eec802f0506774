// openai-node, as it comes: node openai.mjs <base URL> <key> <scenes as JSON>
import OpenAI from "openai";
import { zodFunction, zodResponseFormat } from "openai/helpers/zod";
import { z } from "zod";
import { all, base, counting, key, megabytes, png, run, SAID } from "./cases.mjs";

const client = new OpenAI({ baseURL: base, apiKey: key, maxRetries: 0, timeout: 30_000 });
const completions = client.chat.completions;
const said = (text = SAID) => [{ role: "user", content: text }];
const text = (chunks) => chunks.map((chunk) => chunk.choices[0]?.delta.content ?? "").join("");
const Echo = z.object({ echo: z.string() });
const tool = {
  type: "function",
  function: {
    name: "look_up",
    parameters: { type: "object", properties: { text: { type: "string" } }, required: ["text"] },
  },
};

function failing(fields, options = {}) {
  const other = new OpenAI({ baseURL: base, apiKey: options.key ?? key, maxRetries: 0, ...options });
  return other.chat.completions.create({ messages: said(), ...fields });
}

async function retried(fields, options) {
  const { at, fetch } = counting();
  const other = new OpenAI({ baseURL: base, apiKey: key, fetch, ...options });
  const ended = await other.chat.completions.create({ messages: said(), ...fields }).then(
    (answer) => ({ content: answer.choices[0].message.content }),
    (error) => ({ kind: error.constructor.name, code: error.code }),
  );
  return { ...ended, calls: at.length, waited: at.length > 1 ? at[1] - at[0] : 0 };
}

await run((model, more) => ({
  async plain() {
    const answer = await completions.create({ model: model("echo"), messages: said(), temperature: 0.5 });
    return { ...answer, requestId: answer._request_id };
  },
  async stream() {
    const asked = { stream: true, stream_options: { include_usage: true } };
    const chunks = await all(await completions.create({ model: model("echo"), messages: said(), ...asked }));
    return { text: text(chunks), usage: chunks.at(-1).usage, choices: chunks.at(-1).choices };
  },
  async tools() {
    const turns = said("Paris");
    const answer = await completions.create({ model: model("tools"), messages: turns, tools: [tool] });
    const [call] = answer.choices[0].message.tool_calls;
    turns.push(answer.choices[0].message, { role: "tool", tool_call_id: call.id, content: "sunny" });
    const after = await completions.create({ model: model("tools"), messages: turns, tools: [tool] });
    return { call: call.function, finish: answer.choices[0].finish_reason, after: after.choices[0].message.content };
  },
  async streamedTools() {
    const stream = completions.stream({ model: model("tools"), messages: said("Paris"), tools: [tool] });
    const message = await stream.finalMessage();
    return message.tool_calls.map((call) => call.function);
  },
  async toolsRunThemselves() {
    const parameters = z.object({ text: z.string() });
    const found = zodFunction({ name: "look_up", parameters, function: (args) => `found ${args.text}` });
    const runner = completions.runTools({ model: model("tools"), messages: said("Paris"), tools: [found], stream: true });
    return await runner.finalContent();
  },
  async shape() {
    const format = zodResponseFormat(Echo, "echo");
    const answer = await completions.parse({ model: model("json"), messages: said(), response_format: format });
    return answer.choices[0].message.parsed;
  },
  async picture() {
    const url = `data:image/png;base64,${png().toString("base64")}`;
    const content = [{ type: "text", text: "What is this?" }, { type: "image_url", image_url: { url } }];
    const answer = await completions.create({ model: model("echo"), messages: [{ role: "user", content }] });
    return answer.choices[0].message.content;
  },
  async twoAnswers() {
    const answer = await completions.create({ model: model("echo"), messages: said(), n: 2 });
    return answer.choices.map((choice) => choice.message.content);
  },
  async probabilities() {
    const asked = { logprobs: true, top_logprobs: 2 };
    const answer = await completions.create({ model: model("echo"), messages: said(), ...asked });
    return answer.choices[0].logprobs;
  },
  async fiftyAtOnce() {
    const numbers = Array.from({ length: 50 }, (_, number) => `number ${number}`);
    const ask = async (words) => text(await all(await completions.create({ model: model("echo"), messages: said(words), stream: true })));
    const answers = await Promise.all(numbers.map(ask));
    return answers.filter((answer, place) => answer === numbers[place]).length;
  },
  async fiveMegabytes() {
    const answer = await completions.create({ model: model("fixed"), messages: said(megabytes(5)), max_tokens: 100 });
    return answer.usage;
  },
  async aborted() {
    const stream = await completions.create({ model: model("paced-100x10"), messages: said(), stream: true });
    for await (const chunk of stream) {
      stream.controller.abort();
      return chunk.id;
    }
  },
  async models() {
    const listed = (await all(await client.models.list())).map((one) => one.id);
    return { listed: listed.includes(model("echo")), found: (await client.models.retrieve(model("echo"))).id };
  },
  badRequest: () => failing({ model: model("echo"), temperature: 3 }),
  wrongKey: () => failing({ model: model("echo") }, { key: "sk-wrong" }),
  forbidden: () => failing({ model: model("fixed") }, { key: more.narrow }),
  notFound: () => failing({ model: model("nothing") }),
  tooLarge: () => failing({ model: model("fixed"), messages: said(megabytes(7)) }),
  rate: async () => {
    await failing({ model: model("echo") }, { key: more.slow });
    return failing({ model: model("echo") }, { key: more.slow });
  },
  upstream400: () => failing({ model: more.models["400"] }),
  upstream500: () => failing({ model: more.models["500"] }),
  upstream503: () => failing({ model: more.models["503"] }),
  upstreamTimeout: () => failing({ model: more.models.timeout }),
  quota: () => retried({ model: model("echo") }, { apiKey: more.spent, maxRetries: 4 }),
  flaky: () => retried({ model: more.models["flaky-1"], user: more.user }, { maxRetries: 2 }),
  patient: () => retried({ model: more.models["429-1"] }, { maxRetries: 1 }),
}));
