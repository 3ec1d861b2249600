import type { Check } from "../../../../src/broker/doctor/check.js";
import {
  createDoctors,
  type ExaminedRegistry,
  examineRegistry,
} from "../../../../src/broker/doctor/examine-registry.js";

import { Plaintext } from "../../../../src/crypto/plaintext.js";
import type { RegistryEntry } from "../../../../src/factory-config/entry.js";
import { parseConnectTo } from "../../../../src/outbound/connect-to.js";
import { createOutbound, outboundDefaults } from "../../../../src/outbound/outbound.js";
import type { StandInClouds } from "../../../support/clouds/start-stand-in-clouds.js";

export type ExamineOptions = {
  current?: string;
  repositories?: readonly string[];
  host?: string | undefined;
  passThroughHosts?: readonly string[];
  isApproved?: boolean;
};

/** Tries one credential with the real doctors and the real guard against the stand-ins. */
export async function examineAgainst(
  clouds: StandInClouds,
  entry: RegistryEntry,
  secretText: string,
  options: ExamineOptions = {},
): Promise<ExaminedRegistry> {
  const outbound = createOutbound({
    ...outboundDefaults,
    connectTo: parseConnectTo(clouds.connectTo).rules,
    caCertificates: [clouds.caPem],
  });
  const { passThroughHosts = [], current, repositories, isApproved = true } = options;
  const doctors = createDoctors({
    outbound,
    now: () => clouds.clock.now(),
    settings: { allowedRealms: [], passThroughHosts },
  });
  const host = options.host ?? ("host" in entry ? entry.host : undefined);
  try {
    return await examineRegistry(
      doctors,
      { entry, host, hash: "", isApproved },
      {
        factoryId: "0198c0de-0000-7000-8000-000000000001",
        secret: { name: entry.secretName ?? "", version: 4, value: Plaintext.fromText(secretText) },
        current: current === undefined ? undefined : Plaintext.fromText(current),
        repositories,
      },
    );
  } finally {
    await outbound.close();
  }
}

/** `<code> <outcome>` of each check. */
export const outcomes = ({ checks }: ExaminedRegistry): string[] =>
  checks.map(({ code, outcome }) => `${code} ${outcome}`);

/** The sentence of the first check of a code. */
export const messageOf = ({ checks }: ExaminedRegistry, code: Check["code"]): string =>
  checks.find((check) => check.code === code)?.message ?? "";
