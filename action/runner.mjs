// How an action speaks with GitHub's runner. Source: GitHub documentation, "Workflow commands for GitHub Actions", and
// actions/runner, src/Runner.Worker/Handlers/Handler.cs (inputs) and FileCommandManager.cs (files).
import { randomUUID } from "node:crypto";
import { appendFile } from "node:fs/promises";
import { Failure } from "./failure.mjs";
import { visible } from "./visible.mjs";

/** An input as the workflow gives it, without blanks around it; empty when it gives none. */
export function inputOf(environment, name) {
  return (environment[`INPUT_${name.replaceAll(" ", "_").toUpperCase()}`] ?? "").trim();
}

/** What is not empty of an input with one thing on each line. */
export function linesOf(environment, name) {
  const lines = inputOf(environment, name).split(/\r?\n/);
  return lines.map((line) => line.trim()).filter((line) => line !== "");
}

/** An input that is `true` or `false`, as YAML writes it. @throws Failure when it is neither */
export function isSet(environment, name) {
  const value = inputOf(environment, name);
  if (["true", "True", "TRUE"].includes(value)) return true;
  if (["", "false", "False", "FALSE"].includes(value)) return false;
  throw new Failure(`The input ${name} is true or false.`);
}

export const exportVariable = (environment, name, value) => appendPair(environment.GITHUB_ENV, name, value);

export const setOutput = (environment, name, value) => appendPair(environment.GITHUB_OUTPUT, name, value);

/** Keeps a value for the step at the end of the job. It is no place for a credential. */
export const saveState = (environment, name, value) => appendPair(environment.GITHUB_STATE, name, value);

/** What this action has kept for the end of the job; empty when that was nothing. */
export const stateOf = (environment, name) => environment[`STATE_${name}`] ?? "";

export const addPath = (environment, folder) => appendFile(environment.GITHUB_PATH, `${folder}\n`);

// A value may have lines of its own, and none of them may end it.
function appendPair(file, name, value) {
  const end = `end-${randomUUID()}`;
  return appendFile(file, `${name}<<${end}\n${value}\n${end}\n`);
}

/** Shows a sentence with the job. @param level - `error`, `warning` or `notice` */
export function annotate(level, sentence) {
  process.stdout.write(`::${level} title=factory-secrets::${escapeData(visible(sentence))}\n`);
}

/** Shows text in the job's log. What others wrote is in it: it cannot be a command of the runner. */
export function print(text) {
  process.stdout.write(visible(text));
}

/** Hands on a mask that the command line asks for: the one command of the runner that may come from it. */
export function mask(line) {
  process.stdout.write(`::add-mask::${visible(line.slice("::add-mask::".length))}\n`);
}

// A line end would end the command, and show the rest as text.
const escapeData = (text) => text.replaceAll("%", "%25").replaceAll("\r", "%0D").replaceAll("\n", "%0A");
