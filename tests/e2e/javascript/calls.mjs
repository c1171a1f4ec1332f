// Makes calls as the libraries of this folder make them: for each scene on the standard input (a JSON array) one call of
// the scene's library and task, and prints how they ended (a JSON array in the same order). A key never stands in an
// argument.
import { Ollama } from "ollama";
import OpenAI from "openai";

const asked = (scene) => [{ role: "user", content: scene.text }];
const weather = {
  type: "function",
  function: {
    name: "weather",
    description: "The weather of a town.",
    parameters: { type: "object", properties: { town: { type: "string" } }, required: ["town"] },
  },
};
const note = { type: "object", properties: { note: { type: "string" } }, required: ["note"] };

const gathered = async (stream, piece) => {
  let text = "";
  for await (const part of stream) text += piece(part) ?? "";
  return text;
};

const openai = (scene, counted) => {
  const client = new OpenAI({
    baseURL: `${scene.url}/v1`,
    apiKey: scene.api_key,
    defaultHeaders: scene.headers,
    maxRetries: scene.retries,
    fetch: counted,
  });
  const create = (more) =>
    client.chat.completions.create({ model: scene.model, messages: asked(scene), stream: scene.streamed, ...more });
  return {
    chat: async () => {
      const answer = await create({});
      if (scene.streamed) return gathered(answer, (chunk) => chunk.choices[0]?.delta?.content);
      return answer.choices[0].message.content;
    },
    tool: async () => {
      const tools = [weather];
      const first = scene.streamed
        ? await client.chat.completions.stream({ model: scene.model, messages: asked(scene), tools }).finalMessage()
        : (await create({ tools, tool_choice: "auto" })).choices[0].message;
      const result = { role: "tool", tool_call_id: first.tool_calls[0].id, content: "Rain." };
      const second = await create({ tools, messages: [...asked(scene), first, result], stream: false });
      return { called: first.tool_calls[0].function.name, text: second.choices[0].message.content };
    },
    structured: async () => {
      const response_format = { type: "json_schema", json_schema: { name: "note", schema: note, strict: true } };
      const answer = await create({ response_format });
      if (scene.streamed) return JSON.parse(await gathered(answer, (chunk) => chunk.choices[0]?.delta?.content));
      return JSON.parse(answer.choices[0].message.content);
    },
    thinking: async () => {
      const answer = await create({ reasoning_effort: "low" });
      if (scene.streamed) return gathered(answer, (chunk) => chunk.choices[0]?.delta?.reasoning);
      return answer.choices[0].message.reasoning;
    },
    embeddings: async () => {
      const answer = await client.embeddings.create({ model: scene.model, input: [scene.text, "another"] });
      return answer.data.map((one) => one.embedding.length);
    },
    responses: async () => {
      const stream = scene.streamed;
      const answer = await client.responses.create({ model: scene.model, input: scene.text, stream });
      if (!stream) return answer.output_text;
      return gathered(answer, (event) => (event.type === "response.output_text.delta" ? event.delta : ""));
    },
  };
};

const ollama = (scene, counted) => {
  const headers = { Authorization: `Bearer ${scene.api_key}`, ...scene.headers };
  const client = new Ollama({ host: scene.url, headers, fetch: counted });
  const chat = (more) =>
    client.chat({ model: scene.model, messages: asked(scene), stream: scene.streamed, ...more });
  return {
    chat: async () => {
      const answer = await chat({});
      return scene.streamed ? gathered(answer, (part) => part.message.content) : answer.message.content;
    },
    tool: async () => {
      const answer = await chat({ tools: [weather] });
      let first = answer.message;
      if (scene.streamed) for await (const part of answer) if (part.message.tool_calls) first = part.message;
      const result = { role: "tool", tool_name: "weather", content: "Rain." };
      const second = await chat({ messages: [...asked(scene), first, result], stream: false });
      return { called: first.tool_calls[0].function.name, text: second.message.content };
    },
    structured: async () => {
      const answer = await chat({ format: note });
      const text = scene.streamed ? await gathered(answer, (part) => part.message.content) : answer.message.content;
      return JSON.parse(text);
    },
    thinking: async () => {
      const answer = await chat({ think: true });
      return scene.streamed ? gathered(answer, (part) => part.message.thinking) : answer.message.thinking;
    },
    embeddings: async () => {
      const answer = await client.embed({ model: scene.model, input: [scene.text, "another"] });
      return answer.embeddings.map((one) => one.length);
    },
  };
};

const LIBRARIES = { openai, ollama };

const ending = async (scene) => {
  let requests = 0;
  let code = null;
  const counted = async (url, options) => {
    requests += 1;
    const response = await fetch(url, options);
    code = response.headers.get("x-error-code");
    return response;
  };
  const seen = () => ({ requests, code });
  try {
    const result = await LIBRARIES[scene.library](scene, counted)[scene.task]();
    return { result, ...seen() };
  } catch (error) {
    const status = error.status ?? error.status_code ?? null;
    return { raised: error.constructor.name, status, message: String(error.message), ...seen() };
  }
};

let input = "";
for await (const part of process.stdin) input += part;
console.log(JSON.stringify(await Promise.all(JSON.parse(input).map(ending))));
