import { explainStranger, pathHint } from "../client/ask-patiently.js";
import { CommandFailure, type ExitCode, exitCodes } from "../client/command-failure.js";
import { isObject, parseJson, sentenceAt, textAt } from "../client/json-value.js";
import type { Answer } from "../client/send-once.js";
import { type RegistryFailure, readFailures } from "./registry-token.js";
import type { JobClient } from "./request-tokens.js";

/** The service speaks of its API; this is the same on the command line. */
const waysHere: Readonly<Record<string, string>> = {
  "repositories-required": "On this command line: --registry HOST --repository NAME.",
  "registry-required": "On this command line: --registry HOST.",
  "scope-not-enforceable": "On this command line: --allow-broader.",
};

/** The credential helper has no options: these commands do what it cannot. */
const waysOfHelper: Readonly<Record<string, string>> = {
  "repositories-required":
    "docker names no repository to a credential helper. Use: factory-secrets ci login --registry HOST --repository NAME",
  "scope-not-enforceable": "Use: factory-secrets ci login --registry HOST --allow-broader",
};

/** Another try, later, may go better. */
const passingCodes: readonly string[] = [
  "upstream-throttled",
  "upstream-unreachable",
  "upstream-timeout",
  "upstream-circuit-open",
];

/**
 * Turns an answer that is no success into what to tell a person: the service's own sentence, and what is known only
 * here, such as which token was presented.
 */
export async function explainAnswer(client: JobClient, answer: Answer): Promise<CommandFailure> {
  const code = textAt(answer.body, "code");
  if (code === undefined) return explainStranger(client.settings.url, answer);
  const requestId = sentenceAt(answer.body, "requestId");
  const sentences = [
    await sentenceFor(client, code, answer),
    `(${code}${requestId === undefined ? "" : `, request ${requestId}`})`,
  ];
  return new CommandFailure(exitCodeOf(answer.status, code), sentences.join("\n"));
}

/** No registry gave a token, each for a reason of its own. */
export function explainFailures(failures: readonly RegistryFailure[]): CommandFailure {
  return new CommandFailure(exitCodeOfFailures(failures), listOf(failures));
}

/** Whether it may go better later tells a job what to do next. */
export function exitCodeOfFailures(failures: readonly RegistryFailure[]): ExitCode {
  const isPassing = failures.length > 0 && failures.every(({ code }) => passingCodes.includes(code));
  return isPassing ? exitCodes.unavailable : exitCodes.refused;
}

async function sentenceFor(client: JobClient, code: string, answer: Answer): Promise<string> {
  const detail = sentenceAt(answer.body, "detail") ?? "The service gives no reason.";
  if (code === "unauthenticated") return notAccepted(client);
  if (code === "not-found")
    return `There is no factory "${client.settings.factory}" for ${client.identity.description}: FACTORY_SECRETS_FACTORY is misspelt, or the token is for another factory.${pathHint(client.settings.url)}`;
  // With several failures the detail only strings them together.
  const failures = readFailures(answer.body);
  if (failures.length > 0) return listOf(failures);
  // Only the credential helper has no --timeout, and none of the other options.
  const way = client.settings.isPatienceFixed === true ? waysOfHelper[code] : waysHere[code];
  // A registry that granted less than was asked for grants no more for --allow-broader: then the service does not name it.
  const isNoWay = code === "scope-not-enforceable" && !detail.includes("allowBroader");
  return way === undefined || isNoWay ? detail : `${detail}\n${way}`;
}

async function notAccepted({ settings, identity }: JobClient): Promise<string> {
  const start = `The service does not accept ${identity.description}.`;
  if (identity.isIssuedByService)
    return `${start} The job that it was made for has ended or expired, or the token is not copied whole. Open a new job.`;
  const presented = await identity.present(settings.patienceMs).catch(() => "");
  const claims = claimsOf(presented);
  if (claims === undefined && presented !== "")
    return `${start} A job token begins with fsj_, an ID token with eyJ; this one ${looksOf(presented)}.`;
  const expiry = claims && typeof claims.exp === "number" ? new Date(claims.exp * 1_000) : undefined;
  if (expiry && expiry.getTime() <= Date.now())
    return `${start} It expired at ${expiry.toISOString()}: ask the CI system for a new one, closer to where it is used.`;
  const audience = claims === undefined ? settings.audience : JSON.stringify(claims.aud);
  return `${start} No trust rule of the factory "${settings.factory}" lets it in, or its audience (${audience}) is not the rule's. To see why: run \`factory-secrets ci explain\` in this job, and give the claims that it prints to \`factory-secrets trust-rules explain --claims -\` (permission access:read; over the API: trust-rules:explain).`;
}

const others: readonly (readonly [RegExp, string])[] = [
  [/^(?:gh[a-z]_|github_pat_)/, "looks like a token of GitHub"],
  [/^gl[a-z]{1,6}-/, "looks like a token of GitLab"],
  [/^(?:AKIA|ASIA)[A-Z2-7]{16}$/, "looks like the id of an AWS key"],
  [/^dckr_/, "looks like a token of Docker Hub"],
  [/^eyJ/, "begins like an ID token and is not one: it is not copied whole"],
  [/^["'`]/, "begins with a quotation mark"],
  [/^(?:\$|%)/, "is the name of a variable that was not replaced"],
  [/^[./~]/, "looks like a path: set FACTORY_SECRETS_TOKEN_FILE for a file"],
  [/^https?:/, "is a URL"],
];

const looksOf = (token: string): string =>
  others.find(([pattern]) => pattern.test(token))?.[1] ?? `does not, and has ${token.length} characters`;

/** The claims of a JWT, unverified: they are only shown to whoever holds it. */
export function claimsOf(token: string): Readonly<Record<string, unknown>> | undefined {
  const claims = parseJson(Buffer.from(token.split(".")[1] ?? "", "base64url").toString("utf8"));
  return isObject(claims) ? claims : undefined;
}

function listOf(failures: readonly RegistryFailure[]): string {
  const lines = failures.map(({ registry, code, message }) => `\n  ${registry}: ${message} (${code})`);
  return `${failures.length} ${failures.length === 1 ? "registry" : "registries"} gave no token:${lines.join("")}`;
}

function exitCodeOf(status: number, code: string): ExitCode {
  if (code === "unauthenticated" || code === "not-found" || code === "forbidden") return exitCodes.notAccepted;
  if (code === "malformed-body" || code === "invalid-request") return exitCodes.usage;
  if (code === "upstream-refused") return exitCodes.refused;
  if (code === "conflict") return exitCodes.unavailable;
  return status === 429 || status >= 500 ? exitCodes.unavailable : exitCodes.refused;
}
