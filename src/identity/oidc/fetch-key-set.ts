import { hash } from "node:crypto";
import { z } from "zod";
import { parseForeignJson, replyText } from "../../outbound/foreign-json.js";
import type { Outbound } from "../../outbound/outbound.js";
import { type KeySet, parseKeySet } from "./json-web-keys.js";

/** Where the keys of an issuer come from: as a trust rule says it, and never as a token does. */
export type KeySource =
  | { kind: "discovery"; issuer: string }
  | { kind: "url"; url: string }
  | { kind: "pasted"; jwks: string };

/** A key set, and what tells it from another: equal texts have equal revisions. */
export type FetchedKeySet = { set: KeySet; revision: string };

/** What the discovery document must say (OpenID Connect Discovery 1.0, sections 3 and 4.3). */
const Discovery = z.object({ issuer: z.string(), jwks_uri: z.string().max(2_000) });

const maxBytes = 64 * 1_024;

/** The issuer answered, and not with its keys. */
export class UnusableKeySet extends Error {
  override readonly name = "UnusableKeySet";
}

/** Tells one source of keys from another: the configured URL, or the hash of the pasted set. */
export function keySourceId(source: KeySource): string {
  switch (source.kind) {
    case "discovery":
      return `discovery ${source.issuer}`;
    case "url":
      return `url ${source.url}`;
    case "pasted":
      return `pasted ${hash("sha256", source.jwks, "base64url")}`;
    default:
      return source satisfies never;
  }
}

/**
 * Gets the keys of an issuer through the guarded dialer: https alone, no redirect, 64 KiB a reply.
 * @throws UnusableKeySet, or a Problem of the dialer's
 */
export async function fetchKeySet(outbound: Pick<Outbound, "request">, source: KeySource): Promise<FetchedKeySet> {
  switch (source.kind) {
    case "discovery":
      return readKeySet(await getText(outbound, await discoverKeySetUrl(outbound, source.issuer)));
    case "url":
      return readKeySet(await getText(outbound, source.url));
    case "pasted":
      return readKeySet(source.jwks);
    default:
      return source satisfies never;
  }
}

async function discoverKeySetUrl(outbound: Pick<Outbound, "request">, issuer: string): Promise<string> {
  const text = await getText(outbound, `${issuer.replace(/\/$/, "")}/.well-known/openid-configuration`);
  const document = Discovery.safeParse(parseForeignJson(text));
  // A document of another issuer would lend that one's keys to this one.
  if (!document.success || document.data.issuer !== issuer)
    throw new UnusableKeySet("the discovery document is not of this issuer");
  return document.data.jwks_uri;
}

async function getText(outbound: Pick<Outbound, "request">, url: string): Promise<string> {
  const reply = await outbound.request({ url, maxBytes });
  if (reply.status !== 200) throw new UnusableKeySet(`answered ${reply.status}`);
  return replyText(reply.body);
}

function readKeySet(text: string): FetchedKeySet {
  const set = parseKeySet(text);
  if (!set) throw new UnusableKeySet("what was answered is no key set");
  return { set, revision: hash("sha256", text, "base64url") };
}
