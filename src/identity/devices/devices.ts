import { hash } from "node:crypto";
import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import { type DetailedPeerCertificate, TLSSocket } from "node:tls";
import { z } from "zod";
import type { AuditWriter } from "../../audit/record.js";
import type { Caller } from "../../core/caller.js";
import { databaseNow } from "../../core/database-clock.js";
import { createPauses } from "../../core/pauses.js";
import { Problem } from "../../core/problem.js";
import type { PrismaClient } from "../../db/database.js";
import type { Generations } from "../../db/generations.js";
import type { Withdrawals } from "../../db/withdrawals.js";
import { FactoryName } from "../../http/contract.js";
import { type Certificate, readCertificate, x509 } from "./certificate.js";
import { type DeviceRefusal, recordDeviceRefusal } from "./device-refusals.js";
import {
  type DeviceProxySettings,
  ForwardedCertificateReader,
  type ForwardedCertificates,
} from "./forwarded-certificate.js";
import { type Admitted, type Candidate, findCandidates, RememberedDevices } from "./remembered-devices.js";

import type { RevocationLists } from "./revocation-lists.js";
import { type RegisteredAnchor, TrustAnchors } from "./trust-anchors.js";
import { verifyChain } from "./verify-chain.js";

/** More than any device needs to show its way up to a root. What exceeds it is not looked at. */
const maxPresented = 8;

/**
 * What the client of this connection has shown in its TLS handshake, whatever it is worth: the handshake proves that it
 * has the private key of the first certificate, and nothing else. Node looks up issuers in its own store too, so some
 * of the others may not have come from the client.
 * @returns `undefined` when this is no TLS, or no certificate was shown
 */
function certificatesOfSocket(socket: Socket): ForwardedCertificates | undefined {
  if (!(socket instanceof TLSSocket)) return undefined;
  const seen = new Set<DetailedPeerCertificate>();
  let next: DetailedPeerCertificate | undefined = socket.getPeerCertificate(true);
  // An empty object stands for none. A root links to itself.
  while (next?.raw !== undefined && !seen.has(next) && seen.size <= maxPresented) {
    seen.add(next);
    next = next.issuerCertificate;
  }
  const [leaf, ...others] = [...seen].map(({ raw }) => raw);
  return leaf && { leaf, others };
}

/**
 * SHA-256 of the first certificate, hexadecimal. Costs a hash, where `certificatesOfSocket` parses all of them.
 * @returns `undefined` when this is no TLS, or no certificate was shown
 */
function fingerprintOfSocket(socket: Socket): string | undefined {
  const shown = socket instanceof TLSSocket ? socket.getPeerX509Certificate() : undefined;
  return shown && hash("sha256", shown.raw);
}

/** Authorities of other factories that are asked whose device this is, when it is none of the factory that it names. */
const maxForeign = 4;

type Request = Pick<IncomingMessage, "socket" | "rawHeaders">;
type Presented = { leaf: Certificate; others: readonly Certificate[] };
/** What the subject of a device's certificate says, where it says it once and well. */
type Claims = { deviceId: string | undefined; factory: string | undefined };

/**
 * Those who come with a client certificate. It is looked at on each request: a verdict is remembered by the fingerprint
 * of the certificate together with the generation of the snapshot it was made in, for as long as nothing in the chain
 * expires and the device is not denied.
 */
export class Devices {
  readonly #prisma: PrismaClient;
  readonly #generations: Generations;
  readonly #audit: AuditWriter;
  readonly #onError: (error: unknown) => void;
  readonly #anchors: TrustAnchors;
  readonly #forwarded: ForwardedCertificateReader | undefined;
  readonly #remembered: RememberedDevices;
  // A connection has one certificate for good: TLS 1.3 knows no renegotiation, and the listener refuses it in 1.2.
  readonly #ofSocket = new WeakMap<object, Presented>();
  readonly #ofCaller = new WeakMap<Caller, Presented>();

  constructor(deps: {
    prisma: PrismaClient;
    generations: Generations;
    withdrawals: Withdrawals;
    audit: AuditWriter;
    revocationLists: RevocationLists;
    settings: { port: number | undefined; proxies: DeviceProxySettings | undefined };
    onError: (error: unknown) => void;
  }) {
    this.#prisma = deps.prisma;
    this.#generations = deps.generations;
    this.#audit = deps.audit;
    this.#onError = deps.onError;
    this.#remembered = new RememberedDevices(deps);
    this.#anchors = new TrustAnchors(deps.prisma, deps.revocationLists);
    const { port, proxies } = deps.settings;
    this.#forwarded = proxies && new ForwardedCertificateReader(proxies);
    if (port !== undefined || proxies) x509(); // Now, so that no device has to wait for it.
  }

  /**
   * @returns the device, or `undefined` when no certificate was presented
   * @throws Problem `unauthenticated` when it is refused
   */
  async authenticate(request: Request): Promise<Caller | undefined> {
    const presented = this.#presentedBy(request);
    if (presented === undefined) return undefined;
    const known = this.#remembered.get(presented.leaf.fingerprint);
    if (known) this.#ofCaller.set(known, presented);
    return known ?? this.#judge(presented);
  }

  /**
   * Whether the request presents a certificate that is not remembered as one that was accepted: only work would tell what
   * it is worth. Costs two hashes at most, and parses no certificate.
   */
  presentsUnknown(request: Request): boolean {
    const shown = fingerprintOfSocket(request.socket);
    if (shown !== undefined) return !this.#remembered.has(shown);
    const forwarded = this.#forwarded?.read(request);
    if (forwarded === undefined) return false;
    return forwarded === "refused" || !this.#remembered.has(hash("sha256", forwarded.leaf));
  }

  /** SHA-256 of the certificate that a device came with, hexadecimal. The caller must be one that `authenticate` gave. */
  fingerprintOf(caller: Caller): string {
    const presented = this.#ofCaller.get(caller);
    if (presented === undefined) throw new Error("a device is known by the certificate that it came with");
    return presented.leaf.fingerprint;
  }

  /** Whether the client of this connection has shown a certificate that was accepted before, here or elsewhere. */
  isKnown(socket: Request["socket"]): boolean {
    const shown = fingerprintOfSocket(socket);
    return shown !== undefined && this.#remembered.has(shown);
  }

  /** Checks the device's certificate by the authorities of now. @throws Problem `unauthenticated` */
  async readAgain(caller: Caller): Promise<Caller> {
    const presented = this.#ofCaller.get(caller);
    if (presented === undefined) throw deviceRefused();
    return this.#judge(presented);
  }

  #presentedBy(request: Request): Presented | undefined {
    const known = this.#ofSocket.get(request.socket);
    if (known) return known;
    const shown = certificatesOfSocket(request.socket);
    if (shown) {
      const presented = readPresented(shown);
      this.#ofSocket.set(request.socket, presented);
      return presented;
    }
    const forwarded = this.#forwarded?.read(request);
    if (forwarded === "refused") throw deviceRefused();
    return forwarded && readPresented(forwarded);
  }

  async #judge(presented: Presented): Promise<Caller> {
    const { leaf, others } = presented;
    const claims = claimsOf(leaf);
    const candidates = await findCandidates(this.#prisma, {
      issuers: [leaf, ...others].map(({ issuerHash }) => issuerHash),
      factory: claims.factory ?? "",
      deviceId: claims.deviceId,
      serial: leaf.serial,
    });
    for (const { factory, generation } of candidates) this.#generations.observe(factory.id, generation);
    const own = candidates.filter(({ factory }) => factory.name === claims.factory);
    const accepted = await this.#acceptedBy(own, presented, claims);
    if ("caller" in accepted) {
      this.#remembered.set(leaf.fingerprint, accepted);
      this.#ofCaller.set(accepted.caller, presented);
      return accepted.caller;
    }
    this.#remembered.forget(leaf.fingerprint);
    const refusal = accepted.refusal ?? (await this.#refusalElsewhere(candidates, presented, claims));
    if (refusal) await recordDeviceRefusal(this.#audit, refusal).catch(this.#onError);
    throw deviceRefused();
  }

  async #acceptedBy(
    own: readonly Candidate[],
    presented: Presented,
    claims: Claims,
  ): Promise<Admitted | { refusal: DeviceRefusal | undefined }> {
    let refusal: DeviceRefusal | undefined;
    let accepted: Admitted | undefined;
    const authorities: string[] = [];
    const pause = createPauses();
    for (const candidate of own) {
      await pause();
      const anchor = await this.#anchors.of(candidate);
      if (anchor === undefined) continue;
      const verdict = await verifyChain(anchor, {
        leaf: presented.leaf,
        presented: presented.others,
        now: databaseNow(),
      });
      const { factory, authority, denied } = candidate;
      const facts = { deviceId: claims.deviceId, serial: presented.leaf.serial };
      if (!verdict.ok) {
        if (verdict.reason === "unknown-authority") continue;
        const refused = { factory, authority, reason: verdict.reason, ...(verdict.isGenuine && known(facts)) };
        // What one authority has revoked, another that stands above the same issuer does not let in.
        if (verdict.isGenuine && verdict.reason === "revoked") return { refusal: refused };
        refusal ??= refused;
      } else if (claims.deviceId === undefined) {
        return { refusal: { factory, authority, reason: "malformed-subject", ...known(facts) } };
      } else if (denied) {
        return { refusal: { factory, authority, reason: "denied", ...known(facts) } };
      } else {
        const caller = callerOf(claims.deviceId, presented.leaf, candidate, anchor);
        authorities.push(authority.id);
        accepted ??= {
          caller: { ...caller, authorities, expiresAt: verdict.validUntil },
          validUntil: verdict.validUntil,
        };
      }
    }
    return accepted ?? { refusal };
  }

  /**
   * Whose device it is, when it is not the named factory's. When several have registered its root, none of them is told:
   * each would learn of the others' devices.
   */
  async #refusalElsewhere(
    candidates: readonly Candidate[],
    { leaf, others }: Presented,
    claims: Claims,
  ): Promise<DeviceRefusal | undefined> {
    const genuine: Candidate[] = [];
    for (const candidate of candidates.filter(({ factory }) => factory.name !== claims.factory).slice(0, maxForeign)) {
      const anchor = await this.#anchors.of(candidate);
      if (!anchor) continue;
      const { ok } = await verifyChain(anchor, { leaf, presented: others, now: databaseNow() });
      if (ok) genuine.push(candidate);
    }
    const [first] = genuine;
    if (!first || genuine.some(({ factory }) => factory.id !== first.factory.id)) return undefined;
    const { factory, authority } = first;
    const reason = claims.factory === undefined ? "malformed-subject" : "wrong-factory";
    return { factory, authority, reason, ...known({ deviceId: claims.deviceId, serial: leaf.serial }) };
  }
}

/** One and the same answer to every certificate that is refused. */
const deviceRefused = (): Problem =>
  new Problem("unauthenticated", "This certificate is not accepted. The audit of its factory says why.");

function readPresented({ leaf, others }: ForwardedCertificates): Presented {
  const certificate = readCertificate(leaf);
  if (certificate === undefined) throw deviceRefused();
  const readable = others.slice(0, maxPresented).map(readCertificate);
  return { leaf: certificate, others: readable.filter((other) => other !== undefined) };
}

function claimsOf({ commonNames, organizationalUnits }: Certificate): Claims {
  const deviceId = z.uuid().safeParse(commonNames[0]?.toLowerCase()).data;
  const factory = FactoryName.safeParse(organizationalUnits[0]).data;
  return {
    deviceId: commonNames.length === 1 ? deviceId : undefined,
    factory: organizationalUnits.length === 1 ? factory : undefined,
  };
}

function known({ deviceId, serial }: { deviceId: string | undefined; serial: string }) {
  return { serial, ...(deviceId !== undefined && { deviceId }) };
}

function callerOf(
  deviceId: string,
  { serial }: Certificate,
  candidate: Candidate,
  { policy }: RegisteredAnchor,
): Caller {
  const { authority, factory, generation } = candidate;
  return {
    kind: "device",
    id: deviceId,
    name: deviceId,
    factory,
    permissions: new Set(["registry-tokens:issue"]),
    ...(policy.grants && { grants: policy.grants }),
    ...(policy.maxTtlSeconds !== undefined && { maxTtlSeconds: policy.maxTtlSeconds }),
    ...(policy.roleAliases && { roleAliases: policy.roleAliases }),
    evidence: { authority, serial },
    generation,
  };
}
