import createClient from "openapi-fetch";
import type { paths } from "./client.js";

const env = (name: string): string => process.env[name] ?? "";
const withToken = (token: string) =>
  createClient<paths>({ baseUrl: env("FS_URL"), headers: { Authorization: `Bearer ${token}` } });

/** What the service answered with, or its problem as an error. */
function required<T>({ data, error }: { data?: T; error?: { code: string } | undefined }): T {
  if (data === undefined) throw new Error(error?.code);
  return data;
}

const operator = withToken(env("FS_TOKEN"));
const made = required(await operator.POST("/v1/factories", { body: { name: env("FS_FACTORY") } }));
const path = { factory: made.name };
const secret = required(
  await operator.PUT("/v1/factories/{factory}/secrets/{name}", {
    params: { path: { ...path, name: "aws_creds" } },
    body: { value: env("FS_SECRET") },
  }),
);
const config = required(
  await operator.PUT("/v1/factories/{factory}/config", {
    params: { path },
    headers: { "Content-Type": "application/yaml" },
    body: env("FS_CONFIG"),
    bodySerializer: (text) => text,
  }),
);
const job = required(
  await operator.POST("/v1/factories/{factory}/jobs", { params: { path }, body: { name: "build 1" } }),
);
const { tokens } = required(
  await withToken(job.token).POST("/v1/factories/{factory}/registry-tokens", {
    params: { path },
    body: { registry: env("FS_REGISTRY") },
  }),
);
const rule = required(
  await operator.POST("/v1/factories/{factory}/trust-rules", {
    params: { path },
    body: {
      name: "numbers",
      issuer: env("FS_ISSUER"),
      audience: "factory-secrets",
      conditions: [{ claim: "repository_id", equalsNumber: 123456789 }],
      grants: [{ registry: env("FS_REGISTRY"), actions: ["pull"] }],
    },
  }),
);

let events = 0;
let pages = 0;
let pageToken: string | undefined;
do {
  const page = required(
    await operator.GET("/v1/factories/{factory}/audit", { params: { path, query: { pageSize: 2, pageToken } } }),
  );
  events += page.items.length;
  pages += 1;
  pageToken = page.nextPageToken;
} while (pageToken !== undefined);

const missing = await operator.GET("/v1/factories/{factory}", { params: { path: { factory: "no-such-factory" } } });
console.log(
  JSON.stringify({
    secret: secret.version,
    config: config.version,
    username: tokens?.[0]?.username,
    number: rule.conditions[0]?.equalsNumber,
    events,
    pages,
    problem: missing.error?.code,
  }),
);
