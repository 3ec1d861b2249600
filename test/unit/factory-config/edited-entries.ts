import { Problem } from "../../../src/core/problem.js";
import type { AwsEntry, AzureEntry, GenericEntry } from "../../../src/factory-config/entry.js";

export const ghcr: GenericEntry = {
  id: "ghcr.io",
  type: "generic",
  host: "ghcr.io",
  secretName: "ghcr_creds",
  passThrough: false,
};
export const acr: AzureEntry = {
  id: "a.azurecr.io",
  type: "azure",
  host: "a.azurecr.io",
  secretName: "azprincipal",
};
export const ecrHost = "123456789012.dkr.ecr.us-east-2.amazonaws.com";
export const ecr: AwsEntry = {
  id: ecrHost,
  type: "aws",
  host: ecrHost,
  region: "us-east-2",
  secretName: "aws_creds",
};
export const asLines = "- type: generic\n  url: ghcr.io\n  generic_secret_name: ghcr_creds\n";
export const asFlow = "{ type: generic, url: ghcr.io, generic_secret_name: ghcr_creds }";

/** The problem that a call throws. */
export function problemOf(run: () => unknown): Problem {
  try {
    run();
  } catch (error) {
    if (error instanceof Problem) return error;
    throw error;
  }
  throw new Error("Nothing was refused");
}
