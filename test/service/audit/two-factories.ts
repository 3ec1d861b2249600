import { verifyDatabase } from "../../../src/cli/audit/verify.js";
import { type SealedService, startSealedService } from "./chain/sealed-service.js";

type Factory = { id: string; name: string };

export type TwoFactories = {
  sealed: SealedService;
  acme: Factory;
  beta: Factory;
  /** What `audit verify` says of the database, be it a report or a refusal. */
  verify(): Promise<string>;
};

/** A service whose audit has events of two factories, all of them sealed and signed for. */
export async function startTwoFactories(): Promise<TwoFactories> {
  const sealed = await startSealedService();
  const { service } = sealed;
  const acme = await service.createFactory("acme");
  const beta = await service.createFactory("beta");
  for (const name of ["acme", "beta", "acme", "acme"]) await service.createApiToken(name, ["audit:read"]);
  await sealed.exported(acme.id);
  await sealed.exported();
  const verify = () =>
    verifyDatabase(service.database, {}).catch((error: unknown) =>
      error instanceof Error ? error.message : String(error),
    );
  return { sealed, acme, beta, verify };
}
