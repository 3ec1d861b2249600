import { readFileSync } from "node:fs";
import { CommandFailure, exitCodes } from "../../client/command-failure.js";
import type { IdentitySource } from "./job-identity.js";

/** Where docs/ci.md says to mount it. The pod's usual token is not used: it is for the API server and nobody else. */
export const projectedTokenPath = "/var/run/secrets/factory-secrets/token";

/**
 * Kubernetes: a service-account token for this service, projected into the pod.
 * Source: Kubernetes documentation, "Configure Service Accounts for Pods", ServiceAccount token volume projection.
 */
export function projectedToken(path: string): IdentitySource {
  return {
    lookedFor: `${path}: a projected service-account token with the service's URL as its audience`,
    find() {
      const token = readToken(path);
      if (token === undefined) return undefined;
      return {
        description: `the service-account token in ${path}`,
        secret: token,
        isIssuedByService: false,
        // The kubelet replaces it before it expires.
        present: () => Promise.resolve(readToken(path) ?? token),
      };
    },
  };
}

function readToken(path: string): string | undefined {
  let text: string;
  try {
    text = readFileSync(path, "utf8").trim();
  } catch (error) {
    if (error instanceof Error && "code" in error && (error.code === "ENOENT" || error.code === "ENOTDIR"))
      return undefined;
    throw new CommandFailure(exitCodes.noIdentity, `${path} is there and cannot be read by this user.`);
  }
  return /^[\x21-\x7e]+$/.test(text) ? text : undefined;
}
