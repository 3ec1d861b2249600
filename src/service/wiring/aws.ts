import { answerAwsFiles } from "../../aws/keys/aws-files.js";
import { AwsKeys } from "../../aws/keys/aws-keys.js";
import type { MakeKeysDeps } from "../../aws/keys/make-keys.js";
import type { AwsFiles, AwsFilesInput } from "../../broker/aws-files.js";
import type { FactoryKeys } from "../../secrets/factory-keys.js";

/** What answers the programs that speak AWS's protocols. */
export function createAwsDeps(
  input: Omit<MakeKeysDeps, "awsKeys"> & { factoryKeys: FactoryKeys; now: () => Date },
): MakeKeysDeps & { awsFiles(input: AwsFilesInput): Promise<AwsFiles> } {
  const { callers, facts, audit, publicUrl, factoryKeys, now } = input;
  const awsKeys = new AwsKeys({ callers, facts, factoryKeys, now });
  const deps = { awsKeys, callers, facts, audit, publicUrl };
  return { ...deps, awsFiles: (asked) => answerAwsFiles(deps, asked) };
}
