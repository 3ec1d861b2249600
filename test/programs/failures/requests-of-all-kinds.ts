import { setTimeout as sleep } from "node:timers/promises";
import { Agent, request } from "undici";
import type { BrokeredFactory } from "../../support/broker/brokered-factory.js";
import { watched } from "../../support/leak-watch.js";

/** How a request of one kind was answered, and how long that took. */
export type Answered = { kind: string; status: number; code: string; retryAfter: string; seconds: number };

export const registry = "ghcr.io";
const password = watched("not-a-real-password-ghcr-f00d");

export const openRegistry = (clouds: BrokeredFactory["clouds"]): void => {
  clouds.docker.addRegistry({ host: registry, users: { ci: { password, rights: { "acme/base": ["pull"] } } } });
};

const document = `- type: generic
  url: ${registry}
  generic_secret_name: ghcr_creds
`;

/** Stores a credential and a config that opens the registry with it. @returns a job's token, with which tokens were asked */
export async function prepareFactory(broker: BrokeredFactory): Promise<string> {
  await broker.putSecret("ghcr_creds", `ci:${password}`);
  await broker.putConfig(document);
  const { token } = await broker.openJob();
  return token;
}

/** One request of each kind at once: reads, writes, a token from the cache, a new job, an access token. */
export async function askEverything(broker: BrokeredFactory, jobToken: string): Promise<Answered[]> {
  const { url, operatorToken } = broker.service;
  const factory = `/v1/factories/${broker.factory.name}`;
  const agent = new Agent();
  const ask = async (
    kind: string,
    target: `${"GET" | "PUT" | "POST"} ${string}`,
    token: string,
    sent?: object | string,
  ) => {
    const startedMs = performance.now();
    const [method = "", path] = target.split(" ");
    const type = typeof sent === "string" ? "application/yaml" : "application/json";
    const reply = await request(`${url}${path}`, {
      method,
      dispatcher: agent,
      headers: { "osf-token": token, ...(sent ? { "content-type": type } : {}) },
      ...(sent ? { body: typeof sent === "string" ? sent : JSON.stringify(sent) } : {}),
    });
    const text = await reply.body.text();
    const code = reply.statusCode < 400 ? "" : String(JSON.parse(text).code);
    const retryAfter = String(reply.headers["retry-after"] ?? "");
    return { kind, status: reply.statusCode, code, retryAfter, seconds: (performance.now() - startedMs) / 1_000 };
  };
  try {
    return await Promise.all([
      ask("read", `GET ${factory}/secrets`, operatorToken),
      ask("read of the audit", "GET /v1/audit", operatorToken),
      ask("write", `PUT ${factory}/secrets/other`, operatorToken, { value: "not-a-real-value" }),
      ask("new factory-config", `PUT ${factory}/config`, operatorToken, document),
      ask("new job", `POST ${factory}/jobs`, operatorToken, { name: "a job" }),
      ask("registry token", `POST ${factory}/registry-tokens`, jobToken, {
        registry,
        repositories: ["acme/base"],
      }),
    ]);
  } finally {
    await agent.destroy();
  }
}

/** Asks until everything works again, as clients do that try again. @throws after `seconds` */
export async function untilEverythingWorks(broker: BrokeredFactory, jobToken: string, seconds = 30): Promise<void> {
  const deadline = performance.now() + seconds * 1_000;
  for (;;) {
    const answers = await askEverything(broker, jobToken);
    const failing = answers.filter(({ status }) => status >= 300);
    if (failing.length === 0) return;
    if (performance.now() > deadline) throw new Error(`still failing: ${JSON.stringify(failing)}`);
    await sleep(100);
  }
}
