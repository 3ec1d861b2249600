import type { Environment } from "../../../settings/reader.js";
import type { ClientSettings } from "../../client/client-settings.js";

/** Who the job is. */
export type JobIdentity = {
  /** As a person knows it: "the job token in FACTORY_SECRETS_TOKEN". */
  description: string;
  /** Known to this job and to no other: tokens on disk are sealed with it. */
  secret: string;
  /** Made for this job by the service itself, and not by the CI system. */
  isIssuedByService: boolean;
  /** An operator's token: everything of the installation is open to who reads it out of the job. */
  isOperator?: boolean;
  /** A token to present. A new one each time where there are new ones to be had: some are good for one use. */
  present(timeoutMs: number): Promise<string>;
};

export type FindDeps = { environment: Environment; settings: Pick<ClientSettings, "audience" | "authorities"> };

/** One place where a job can find who it is. */
export type IdentitySource = {
  /** What was looked for, for whoever has none. */
  lookedFor: string;
  /** @throws CommandFailure when it is there and cannot be used */
  find(deps: FindDeps): JobIdentity | undefined;
};
