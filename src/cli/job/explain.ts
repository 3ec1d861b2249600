import { type ExitCode, exitCodes } from "../client/command-failure.js";
import { textAt } from "../client/json-value.js";
import { claimsOf, exitCodeOfFailures, explainAnswer } from "./explain-answer.js";
import {
  type RegistryFailure,
  type RegistryToken,
  readFailures,
  readTokens,
  tokenTable,
  viewOf,
} from "./registry-token.js";
import { askForTokens, type JobClient, type Wanted } from "./request-tokens.js";

/** Which registries give a token, and why the others do not. */
export type Explanation = {
  service: string;
  factory: string;
  identity: string;
  tokens: readonly RegistryToken[];
  /** Set when the service refused the whole request. */
  problem?: { code: string; message: string };
  failures: readonly RegistryFailure[];
  /** Claims of the job's ID token, for `trust-rules explain --claims -`. */
  claims?: Readonly<Record<string, unknown>>;
  /** The times of the claims against the clock of the service. */
  times?: readonly string[];
  exitCode: ExitCode;
};

/** Asks for tokens as `ci login --allow-partial` does, and discards them. */
export async function explain(client: JobClient, wanted: Omit<Wanted, "allowPartial">): Promise<Explanation> {
  const { settings, identity } = client;
  const answer = await askForTokens(client, { ...wanted, allowPartial: true });
  const claims = identity.isIssuedByService
    ? undefined
    : shownClaims(await identity.present(settings.giveUpAfterMs).catch(() => ""));
  const facts = {
    ...{ service: settings.url, factory: settings.factory, identity: identity.description },
    ...(claims && { claims, times: timesOf(claims, answer.date ?? new Date()) }),
  };
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

/** The claims about the job, without those about a person. */
function shownClaims(token: string): Readonly<Record<string, unknown>> | undefined {
  const claims = claimsOf(token);
  const ofPerson = /email|login|^name$|^picture$|^jti$|user_name|preferred_username/;
  return claims && Object.fromEntries(Object.entries(claims).filter(([name]) => !ofPerson.test(name)));
}

function timesOf(claims: Readonly<Record<string, unknown>>, now: Date): string[] {
  const clock = `Clock of the service: ${now.toISOString()}`;
  const lines = [
    ["iat", "Issued"],
    ["nbf", "Valid from"],
    ["exp", "Expires"],
  ].flatMap(([name = "", word = ""]) => {
    const value = claims[name];
    if (typeof value !== "number" || Math.abs(value) > 1e11) return [];
    const seconds = Math.round(value - now.getTime() / 1_000);
    const relation = seconds >= 0 ? `in ${seconds} s` : `${-seconds} s ago`;
    const isRejected = name === "exp" ? seconds <= 0 : seconds > 0;
    return [
      `${word}: ${new Date(value * 1_000).toISOString()}, ${relation}${isRejected ? " (the token is refused for this)" : ""}`,
    ];
  });
  return [clock, ...lines];
}

/** For a program, without credentials. */
export function viewOfExplanation({ exitCode: _, tokens, ...others }: Explanation) {
  return { ...others, tokens: tokens.map(viewOf) };
}

export function explanationText(explanation: Explanation): string {
  const { service, factory, identity, tokens, problem, failures, claims, times = [] } = explanation;
  const parts = [`Service:  ${service}\nFactory:  ${factory}\nIdentity: ${identity}`];
  if (tokens.length > 0) parts.push(`May be pulled from:\n${tokenTable(tokens)}`);
  if (problem) parts.push(problem.message);
  else if (failures.length > 0) parts.push(failures.map(failureText).join("\n"));
  if (claims) {
    parts.push(times.join("\n"));
    parts.push(`Claims of the token, for \`factory-secrets trust-rules explain --claims -\`:`);
    parts.push(JSON.stringify(claims, undefined, 2));
  }
  return parts.join("\n\n");
}

const failureText = ({ registry, code, message }: RegistryFailure): string =>
  `Refused: ${registry}\n  ${message}\n  (${code})`;
