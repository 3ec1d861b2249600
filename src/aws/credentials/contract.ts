import { z } from "zod";
import { RegistryName } from "../../core/grant.js";
import { ProblemDocument } from "../../http/contract.js";

export const AwsCredentialsQuery = z.strictObject({
  registry: RegistryName.optional().meta({
    description: "Host or id of an entry of type aws. May be absent when there is only one.",
  }),
});

export const AwsCredentialsError = ProblemDocument.extend({
  Code: z.string().meta({ description: "The same as `code`, where AWS's programs look for it." }),
  Message: z.string().meta({ description: "The same as `detail`, where AWS's programs look for it." }),
}).meta({ id: "AwsCredentialsError" });
