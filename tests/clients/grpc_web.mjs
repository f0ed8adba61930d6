// A browser's gRPC-Web client (connect-web, over fetch): makes one call and prints what came of it as one line of JSON.
//
// Arguments: BASE_URL DESCRIPTORS METHOD HEADERS REQUEST [COUNT]. DESCRIPTORS is a file that holds a FileDescriptorSet,
// METHOD a name like gatepost.v1.Auth/Verify; HEADERS and REQUEST are JSON. Of a stream, COUNT answers are read (1).
// Prints {"messages": [...]} or {"code", "message", "reasons": [google.rpc.ErrorInfo...], "headers": {...}}.
import { readFileSync } from "node:fs";

import { createFileRegistry, fromBinary, fromJson, toJson } from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-web";

const [baseUrl, descriptors, name, headersJson, requestJson, count = "1"] = process.argv.slice(2);
const registry = createFileRegistry(fromBinary(FileDescriptorSetSchema, readFileSync(descriptors)));
const [serviceName, methodName] = name.split("/");
const method = registry.getService(serviceName).methods.find((candidate) => candidate.name === methodName);

const client = createClient(method.parent, createGrpcWebTransport({ baseUrl }));
const request = fromJson(method.input, JSON.parse(requestJson), { registry });
const enough = new AbortController();
const options = { headers: JSON.parse(headersJson), signal: enough.signal };

async function call() {
  if (method.methodKind === "unary") {
    return [await client[method.localName](request, options)];
  }
  const messages = [];
  for await (const message of client[method.localName](request, options)) {
    messages.push(message);
    if (messages.length === Number(count)) break;
  }
  return messages;
}

let outcome;
try {
  const messages = await call();
  outcome = { messages: messages.map((message) => toJson(method.output, message, { registry })) };
} catch (thrown) {
  const error = ConnectError.from(thrown);
  const errorInfo = registry.getMessage("google.rpc.ErrorInfo");
  outcome = {
    code: Code[error.code],
    message: error.rawMessage,
    reasons: errorInfo ? error.findDetails(errorInfo).map((detail) => toJson(errorInfo, detail)) : [],
    headers: Object.fromEntries(error.metadata),
  };
}
console.log(JSON.stringify(outcome));
// A stream of which we read no more would hold the process.
enough.abort();
