// Runs the cases of every scene side by side and prints what each came to, as JSON; what a case throws is that.
import { deflateSync } from "node:zlib";

const [, , base, key, scenes] = process.argv;
export { base, key };
export const SAID = "one two three";

// A scene is the JSON the test gave under a name: its dialect, models that fail, keys that are limited.
export async function run(casesOf) {
  const told = {};
  const one = async (scene, name, work) => {
    try {
      told[scene][name] = (await work()) ?? null;
    } catch (error) {
      told[scene][name] = { threw: described(error) };
    }
  };
  const all = Object.entries(JSON.parse(scenes)).flatMap(([scene, more]) => {
    told[scene] = {};
    const model = (kind) => `${more.dialect}/${kind}`;
    return Object.entries(casesOf(model, more)).map(([name, work]) => one(scene, name, work));
  });
  await Promise.all(all);
  console.log(JSON.stringify(told));
}

function described(error) {
  const { status, code, type, param, statusCode, isRetryable, message } = error;
  const requestId = error.requestID ?? error.responseHeaders?.["x-request-id"];
  return { kind: error.constructor.name, name: error.name, status: status ?? statusCode, code, type, param, isRetryable, requestId, message };
}

// A fetch that notes when it was called.
export function counting() {
  const at = [];
  const noted = (...args) => {
    at.push(performance.now());
    return fetch(...args);
  };
  return { at, fetch: noted };
}

export function megabytes(number) {
  return "word ".repeat(number * 200_000);
}

export async function all(stream) {
  const parts = [];
  for await (const part of stream) parts.push(part);
  return parts;
}

// A PNG of one red point.
export function png() {
  const chunk = (kind, data) => {
    const body = Buffer.concat([Buffer.from(kind), data]);
    const size = Buffer.alloc(4);
    size.writeUInt32BE(data.length);
    const check = Buffer.alloc(4);
    check.writeUInt32BE(crc32(body));
    return Buffer.concat([size, body, check]);
  };
  const header = Buffer.from([0, 0, 0, 1, 0, 0, 0, 1, 8, 2, 0, 0, 0]);
  const pixels = deflateSync(Buffer.from([0, 255, 0, 0]));
  const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
  return Buffer.concat([signature, chunk("IHDR", header), chunk("IDAT", pixels), chunk("IEND", Buffer.alloc(0))]);
}

function crc32(bytes) {
  let crc = -1;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return ~crc >>> 0;
}
