// Reads an OpenAPI document as the tools that people use do: checks it against the schema of OpenAPI 3.1, lints it (with the
// examples against their schemas), and holds real answers to what it promises.
//
// Arguments: DOCUMENT ANSWERS, two files of JSON. ANSWERS is a list of {method, path, status, type, body}. Prints what is
// wrong, a line each; nothing when all is well.
import { readFileSync } from "node:fs";

import { createConfig, lintFromString } from "@redocly/openapi-core";
import { Validator } from "@seriousme/openapi-schema-validator";
import Ajv from "ajv/dist/2020.js";
import addFormats from "ajv-formats";

const [documentFile, answersFile] = process.argv.slice(2);
const source = readFileSync(documentFile, "utf8");
const document = JSON.parse(source);

const { valid, errors } = await new Validator().validate(structuredClone(document));
if (!valid) console.log("schema:", JSON.stringify(errors));

const config = await createConfig({ extends: ["recommended-strict"] });
for (const { ruleId, message, location } of await lintFromString({ source, config })) {
  console.log(`lint: ${ruleId}: ${message.replaceAll("\n", " ")} at ${location[0]?.pointer}`);
}

const ajv = addFormats(new Ajv({ strict: false, allErrors: true }));
// Numbers that have a type of their own in protobuf.
for (const format of ["uint32", "uint64"]) ajv.addFormat(format, true);
ajv.addSchema(document, "document");

const escape = (part) => encodeURIComponent(part.replaceAll("~", "~0").replaceAll("/", "~1"));
const at = (pointer) => pointer.reduce((value, part) => value?.[part], document);

function find(pointer) {
  const reference = at(pointer)?.$ref;
  return reference ? reference.slice(2).split("/") : pointer;
}

function operation(method, path) {
  const takes = (template) => {
    const literal = (text) => text.replaceAll(/[.*+?^$()|[\]\\]/g, "\\$&");
    const pattern = template.split(/\{[^}]*\}/).map(literal).join("[^/]+");
    return new RegExp(`^${pattern}$`).test(path) && document.paths[template][method];
  };
  // The path with the longest text of its own is the most concrete.
  const concrete = (template) => template.replaceAll(/\{[^}]*\}/g, "").length;
  return Object.keys(document.paths).filter(takes).sort((a, b) => concrete(b) - concrete(a))[0];
}

for (const { method, path, status, type, body } of JSON.parse(readFileSync(answersFile, "utf8"))) {
  const say = (what) => console.log(`${method} ${path}: ${status} ${type}: ${what}: ${JSON.stringify(body)}`);
  const template = operation(method, path);
  if (!template) {
    say("no such operation");
    continue;
  }
  const content = [...find(["paths", template, method, "responses", String(status)]), "content"];
  // A line of a stream is an item of the array that the stream may be told as.
  const schema = type === "application/x-ndjson" ? ["application/json", "schema", "items"] : [type, "schema"];
  if (!at([...content, type])) {
    say("no such answer");
    continue;
  }
  const validate = ajv.compile({ $ref: `document#/${[...content, ...schema].map(escape).join("/")}` });
  if (!validate(body)) say(ajv.errorsText(validate.errors));
}
