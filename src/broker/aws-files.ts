import type { RequestedBy } from "../audit/record.js";
import type { Caller, FactoryRef } from "../core/caller.js";
import type { Asked } from "./decide-demands.js";

/** What is asked for in a format that AWS programs read. Without `asked`: every entry of type aws. */
export type AwsFilesInput = {
  factory: FactoryRef;
  caller: Caller;
  asked: readonly Asked[] | undefined;
  /** `aws-credentials-file`: for programs that read nothing else, with an `endpoint_url` for all of AWS in it. */
  format: "aws-config" | "aws-credentials-file";
  requested: RequestedBy;
};

/** The members of the reply that the format has. */
export type AwsFiles = {
  environment?: { name: string; value: string }[];
  configFile?: string;
  credentialsFile: string;
};
