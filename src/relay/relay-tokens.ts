import { hash } from "node:crypto";
import { LRUCache } from "lru-cache";
import { z } from "zod";
import { atMost } from "../core/at-most.js";
import {
  maxRelayTokenSeconds,
  RegisteredClaims,
  SignedTokens,
  type SignedTokensDeps,
} from "../identity/oauth/signed-tokens.js";

/** Distribution specification, auth/jwt: what may be done. Only `pull` exists. */
const Access = z.strictObject({
  type: z.literal("repository"),
  name: z.string(),
  actions: z.array(z.literal("pull")).length(1),
});

/** `sub` is the caller's credential; with a `cnf` (RFC 8705, section 3.1) the device that has that certificate. */
const Claims = RegisteredClaims.extend({
  access: z.array(Access),
  cnf: z.strictObject({ "x5t#S256": z.string() }).optional(),
});

/** A token names at most so many repositories, so that it fits in the header of each request. */
export const maxNamesOfToken = 32;

const maxRemembered = 10_000;

/** Who pulls with a token: the holder of a credential, or a device with that certificate (SHA-256, hexadecimal). */
export type Holder = { credentialId: string } | { deviceId: string; fingerprint: string };

export type RelayToken = {
  holder: Holder;
  /** Names as `scopeNameOf` writes them. */
  names: ReadonlySet<string>;
};

/**
 * The tokens with which a client pulls through the relay: ES256 JWTs of five minutes. They name their caller, who is
 * looked up at each request: what a token says is never more than what its caller may have by then.
 */
export class RelayTokens {
  readonly #tokens: SignedTokens<z.output<typeof Claims>>;
  readonly #issuer: () => string;
  /** By the SHA-256 of the token: a client comes with the same one for each layer. */
  readonly #verified = new LRUCache<string, true>(atMost(maxRemembered));

  constructor(deps: SignedTokensDeps) {
    this.#issuer = deps.issuer;
    const kind = { type: "relay+jwt", claims: Claims, maxBytes: 16_384, maxSeconds: maxRelayTokenSeconds };
    this.#tokens = new SignedTokens(deps, kind);
  }

  /** Whether the token says of itself that we made it. Says nothing about whether we did. */
  isOurs(token: string): boolean {
    return this.#tokens.isOurs(token);
  }

  /** Whether the token was verified before. Says nothing about now; costs one hash. */
  remembers(token: string): boolean {
    return this.#verified.has(hash("sha256", token, "base64url"));
  }

  /** @param subject - `endsAt`: no token outlives it */
  issue(subject: {
    holder: Holder;
    names: readonly string[];
    isForDevices: boolean;
    endsAt: Date | undefined;
  }): Promise<{ token: string; issuedAt: Date; seconds: number }> {
    const { holder, names, endsAt } = subject;
    const access = names.map((name) => ({ type: "repository" as const, name, actions: ["pull" as const] }));
    const about = { aud: this.#audience(subject.isForDevices), access };
    if ("credentialId" in holder) return this.#tokens.issue({ ...about, sub: holder.credentialId }, endsAt);
    const cnf = { "x5t#S256": Buffer.from(holder.fingerprint, "hex").toString("base64url") };
    return this.#tokens.issue({ ...about, sub: holder.deviceId, cnf }, endsAt);
  }

  /** @returns what it says; `"expired"` when that was true once; `undefined` when we did not issue it for this port */
  async verify(
    token: string,
    { isForDevices }: { isForDevices: boolean },
  ): Promise<RelayToken | "expired" | undefined> {
    const verified = await this.#tokens.verify(token, this.#audience(isForDevices));
    if (!verified) return undefined;
    if (verified.isExpired) return "expired";
    this.#verified.set(hash("sha256", token, "base64url"), true);
    const { sub, access, cnf } = verified.claims;
    const names = new Set(access.map(({ name }) => name));
    if (!cnf) return { holder: { credentialId: sub }, names };
    const fingerprint = Buffer.from(cnf["x5t#S256"], "base64url").toString("hex");
    return { holder: { deviceId: sub, fingerprint }, names };
  }

  // A token of one port is good at no other: a device's own network sees what is sent to the port for devices.
  #audience(isForDevices: boolean): string {
    return `${this.#issuer()}/v2/${isForDevices ? "#devices" : ""}`;
  }
}
