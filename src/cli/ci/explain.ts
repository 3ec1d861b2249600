import { type ExitCode, exitCodes } from "../client/command-failure.js";
import { textAt } from "../client/json-value.js";
import { exitCodeOfFailures, explainAnswer } from "./explain-answer.js";
import { type RegistryFailure, type RegistryToken, readFailures, readTokens } from "./registry-token.js";
import { askForTokens, type JobClient, type Wanted } from "./request-tokens.js";
import { tokenTable, viewOf } from "./show-tokens.js";

/** Why a registry or a repository is refused, or that it is not. */
export type Explanation = {
  service: string;
  factory: string;
  identity: string;
  tokens: readonly RegistryToken[];
  /** The problem that the whole answer was. */
  problem?: { code: string; message: string };
  failures: readonly RegistryFailure[];
  exitCode: ExitCode;
};

/** Asks as `ci login` does, for what can be had, and forgets the tokens. */
export async function explain(client: JobClient, wanted: Omit<Wanted, "allowPartial">): Promise<Explanation> {
  const { settings, identity } = client;
  const answer = await askForTokens(client, { ...wanted, allowPartial: true });
  const facts = { service: settings.url, factory: settings.factory, identity: identity.description };
  const failures = readFailures(answer.body);
  const tokens = answer.status === 200 ? readTokens(answer.body) : undefined;
  if (tokens)
    return {
      ...facts,
      tokens,
      failures,
      exitCode: failures.length > 0 ? exitCodeOfFailures(failures) : exitCodes.done,
    };
  const failure = await explainAnswer(client, answer);
  const problem = { code: textAt(answer.body, "code") ?? `http-${answer.status}`, message: failure.message };
  return { ...facts, tokens: [], problem, failures, exitCode: failure.exitCode };
}

/** For a program: no credential is in it. */
export function viewOfExplanation({ exitCode: _, tokens, ...others }: Explanation) {
  return { ...others, tokens: tokens.map(viewOf) };
}

/** For a person. */
export function explanationText({ service, factory, identity, tokens, problem, failures }: Explanation): string {
  const parts = [`Service:  ${service}\nFactory:  ${factory}\nIdentity: ${identity}`];
  if (tokens.length > 0) parts.push(`May be pulled from:\n${tokenTable(tokens)}`);
  if (problem) parts.push(problem.message);
  else if (failures.length > 0) parts.push(failures.map(failureText).join("\n"));
  return parts.join("\n\n");
}

const failureText = ({ registry, code, message }: RegistryFailure): string =>
  `Refused: ${registry}\n  ${message}\n  (${code})`;
