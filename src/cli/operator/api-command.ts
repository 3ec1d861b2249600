import { nearestName } from "../../core/nearest-name.js";
import { oneLine } from "../../core/visible-text.js";
import { CommandFailure, exitCodes } from "../client/command-failure.js";
import { isObject, textAt } from "../client/json-value.js";
import { writeAll, writeBytes } from "../client/output.js";
import { call, explainProblem, listAll, send } from "./call.js";
import type { LocalRun, Row, Run } from "./command.js";
import type { OperationId } from "./generated/operations.js";
import { readGivenFile } from "./given-input.js";
import {
  hasParameter,
  isOperation,
  operationIds,
  operationOf,
  typedValue,
  typeOfValue,
  type Values,
} from "./operation.js";
import { tableOf } from "./print.js";

export const apiRow: Row = {
  words: "api [operation]",
  about: "call any operation of the API; without one, list them",
  operands: [["[operation]", "its id, such as listSecrets"]],
  options: [
    [
      "-F, --field <name=value>",
      "a parameter or a member of the body; @FILE reads the value from a file, @- from standard input; may be repeated",
    ],
    ["-f, --raw-field <name=value>", "the same, but a value that begins with @ is taken as it is; may be repeated"],
    ["--input <file>", "the whole body; - is standard input"],
    ["--paginate", "all pages of a list"],
  ],
  more: "openapi.yaml describes the operations and their fields. The field factory is that of --factory or the login by default.\nPass one --field for each text of a list, and JSON for a member that is an object. You are not asked to confirm a\ndeletion.",
  runLocally: callAny,
  example:
    "factory-secrets api\nfactory-secrets api createJob --field name=nightly --field ttlSeconds=600\nfactory-secrets api getFederation --query issuer",
};

type ApiFlags = { field?: readonly string[]; rawField?: readonly string[]; input?: string; paginate?: boolean };

async function callAny(local: LocalRun): Promise<void> {
  const [given] = local.operands;
  if (given === undefined) return listOperations(local);
  const id = operationNamed(given);
  const run = await local.connect(operationOf(id).isOpen === true ? "service" : "credential");
  const { input, paginate } = run.given<ApiFlags>();
  const values = await fieldsOf(run, id);
  if (paginate === true && hasParameter(id, "pageToken")) {
    const items = await listAll(run.client, id, values);
    return printJson(run, { items });
  }
  const body = input === undefined ? undefined : await wholeBody(run, id, input, values);
  const { reply } = operationOf(id);
  if (reply === undefined || /^application\/(?:json|x-amz-json)/.test(reply)) return callForJson(run, id, values, body);
  await callForText(run, id, values, body);
}

const printJson = (run: Run, data: unknown): Promise<void> => run.print(data, () => JSON.stringify(data, undefined, 2));

function listOperations(run: LocalRun): Promise<void> {
  const items = operationIds.map((id) => {
    const { method, path, about, parameters, body } = operationOf(id);
    const types = Object.entries(parameters).map(([name, { type }]): [string, string] => [name, type]);
    return { operation: id, method, path, about, fields: { ...Object.fromEntries(types), ...body?.members } };
  });
  return run.print({ items }, () => tableOf(run.context.paint, items, "operation method path about"));
}

/** @throws CommandFailure with the nearest names when there is no such operation */
function operationNamed(given: string): OperationId {
  if (isOperation(given)) return given;
  const nearest = nearestName(given, operationIds);
  const similar =
    nearest === undefined ? operationIds.filter((one) => one.toLowerCase().includes(given.toLowerCase())) : [nearest];
  const hint = similar.length === 0 || similar.length > 8 ? "" : ` Did you mean ${similar.join(" or ")}?`;
  throw new CommandFailure(
    exitCodes.usage,
    `There is no operation "${oneLine(given)}".${hint} To see them: factory-secrets api`,
  );
}

/** The values of the fields, with the types of the operation. */
async function fieldsOf(run: Run, id: OperationId): Promise<Values> {
  const { field = [], rawField = [] } = run.given<ApiFlags>();
  const values: Record<string, unknown> = {};
  const add = (name: string, text: string): void => {
    const type = typeOfValue(operationOf(id), name);
    if (type === undefined) throw unknownField(id, name);
    const value = typedValue(type, text, `--field ${name}`);
    const earlier = values[name];
    if (Array.isArray(earlier) && type === "texts") values[name] = [...earlier, text];
    else if (earlier === undefined) values[name] = value;
    else throw new CommandFailure(exitCodes.usage, `--field ${name} is given twice.`);
  };
  for (const one of field) {
    const [name, text] = nameAndText(one);
    add(name, text.startsWith("@") ? (await readGivenFile(run.context, text.slice(1))).toString("utf8") : text);
  }
  for (const one of rawField) add(...nameAndText(one));
  return values;
}

function nameAndText(field: string): [name: string, text: string] {
  const at = field.indexOf("=");
  if (at > 0) return [field.slice(0, at), field.slice(at + 1)];
  throw new CommandFailure(exitCodes.usage, `"${oneLine(field)}" is not a field. Write --field NAME=VALUE.`);
}

function unknownField(id: OperationId, name: string): CommandFailure {
  const { parameters, body } = operationOf(id);
  const known = [...Object.keys(parameters), ...Object.keys(body?.members ?? {})];
  const nearest = nearestName(name, known);
  const hint = nearest === undefined ? "" : ` Did you mean ${nearest}?`;
  const fields = known.length === 0 ? "It has no fields." : `Its fields: ${known.join(", ")}.`;
  return new CommandFailure(exitCodes.usage, `${id} has no field "${oneLine(name)}".${hint} ${fields}`);
}

async function wholeBody(run: Run, id: OperationId, path: string, values: Values): Promise<Buffer> {
  const { body } = operationOf(id);
  if (body === undefined) throw new CommandFailure(exitCodes.usage, `${id} takes no body. Leave out --input.`);
  const member = Object.keys(values).find((name) => !hasParameter(id, name));
  if (member !== undefined)
    throw new CommandFailure(
      exitCodes.usage,
      `--input is the whole body, so --field ${member} cannot be given too. Pass one of them.`,
    );
  return readGivenFile(run.context, path);
}

async function callForJson(run: Run, id: OperationId, values: Values, body?: Buffer): Promise<void> {
  const answer = await send(run.client, id, values, { ...(body && { body }) });
  const isDone = answer.status >= 200 && answer.status <= 299;
  // Errors of OAuth and AWS operations have another form, and are printed as they are.
  if (!isDone && (!isObject(answer.body) || textAt(answer.body, "code") !== undefined))
    throw await explainProblem(run.client, answer, {});
  if (answer.status !== 204) await printJson(run, answer.body);
  else if (run.isForProgram) await printJson(run, {});
  if (isDone) return;
  run.context.terminal.say(`The service answered ${answer.status}.`);
  run.finish(exitCodes.refused);
}

/** Prints a reply that is not JSON as it comes. */
async function callForText(run: Run, id: OperationId, values: Values, body?: Buffer): Promise<void> {
  const isBinary = operationOf(id).reply === "application/octet-stream";
  let isTaken = false;
  const take = async (pieces: AsyncIterable<string>): Promise<void> => {
    isTaken = true;
    if (!isBinary) await writeAll(pieces);
    else for await (const piece of pieces) await writeBytes(Buffer.from(piece, "latin1"));
  };
  const encoding = isBinary ? ("latin1" as const) : ("utf8" as const);
  const { text } = await call(run.client, id, values, { take, encoding, hints: {}, ...(body && { body }) });
  if (!isTaken) run.context.terminal.out(text.replace(/\n$/, ""));
}
