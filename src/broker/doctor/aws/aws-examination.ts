import { type EcrHost, ecrPublicHost } from "../../../core/cloud-hosts.js";
import type { AwsEntry } from "../../../factory-config/entry.js";
import type { Sts } from "../../providers/aws-sts.js";
import type { AwsIdentity } from "../../secret-formats/aws-credentials.js";
import type { Examination } from "../registry-doctor.js";

/** One examination's way to AWS. */
export type AwsExamination = {
  examination: Examination<AwsEntry>;
  identity: AwsIdentity;
  sts: Sts;
  registry: EcrHost | undefined;
};

/** The name of the registry in a sentence. */
export function nameOfRegistry({ examination, registry }: AwsExamination): string {
  return examination.host ?? (registry?.public === true ? ecrPublicHost : "the registry of its own account");
}
