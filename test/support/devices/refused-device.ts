import { expect } from "vitest";
import type { TestService } from "../test-service.js";
import { type Issued, type Making, makeRoot } from "./device-certificates.js";
import { oneSentence, refusals, register, whoAmI } from "./device-service.js";

export const hoursFromNow = (hours: number) => new Date(Date.now() + hours * 3_600_000);

/** Shows the leaf and what is between it and its root. */
export const chainOf = (device: Issued, ...above: readonly Issued[]) => ({
  pem: [device, ...above].map(({ pem }) => pem).join("\n"),
  keyPem: device.keyPem,
});

// What OpenSSL as a client would not send is what an attacker's would.
const lax = { ciphers: "DEFAULT@SECLEVEL=0" };

/** Shows a certificate, and sees that it is refused with one sentence and that the factory's audit has the reason once. */
export async function expectRefused(
  service: TestService,
  factory: string,
  { shown, reason }: { shown: { pem: string; keyPem: string }; reason: string },
) {
  const reply = await whoAmI(service, shown, lax);
  expect(reply).toMatchObject({ status: 401, body: { code: "unauthenticated", detail: oneSentence } });
  const rows = await refusals(service, factory);
  expect(rows.map((row) => row.reason)).toEqual([reason]);
  return rows[0];
}

/** A new factory with an authority of its own. */
export async function factoryWith(service: TestService, making: Making = {}) {
  const factory = await service.createFactory();
  const root = await makeRoot(undefined, making);
  const authority = await register(service, factory, { certificates: [root] });
  return { factory, root, authority };
}
