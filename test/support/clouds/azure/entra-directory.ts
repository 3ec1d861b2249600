import { randomUUID } from "node:crypto";
import type { Clock } from "../clock.js";
import { createJwtSigner, type JwtSigner } from "../sign-jwt.js";

/** What a service principal may do in one registry, by repository name; `*` stands for every repository. */
export type RegistryRights = Readonly<Record<string, readonly ("pull" | "push")[]>>;

/** As `az ad app federated-credential create` takes it. */
export type FederatedCredential = { name: string; issuer: string; subject: string; audiences: readonly string[] };

export type ServicePrincipal = {
  tenantId: string;
  clientId: string;
  /** Absent for a client that has none, and proves itself by what an issuer signed that it trusts. */
  clientSecret?: string;
  federatedCredentials?: readonly FederatedCredential[];
  /** After this moment Entra answers AADSTS7000222. */
  secretExpiresAt?: Date;
  /** By registry host. */
  rights: Readonly<Record<string, RegistryRights>>;
};

/** The stand-in's tenants and service principals, and the key that Entra signs with. */
export class EntraDirectory {
  readonly #principals = new Map<string, ServicePrincipal>();
  readonly signer: JwtSigner;

  constructor(readonly clock: Clock) {
    this.signer = createJwtSigner(clock);
  }

  addServicePrincipal(principal: ServicePrincipal): void {
    this.#principals.set(principal.clientId, principal);
  }

  hasTenant(tenantId: string): boolean {
    return [...this.#principals.values()].some((principal) => principal.tenantId === tenantId);
  }

  principalOf(clientId: string): ServicePrincipal | undefined {
    return this.#principals.get(clientId);
  }

  /** Checks an id and a password; an expired secret opens nothing. */
  authenticate(clientId: string, secret: string): ServicePrincipal | undefined {
    const principal = this.#principals.get(clientId);
    if (principal?.clientSecret === undefined || principal.clientSecret !== secret) return undefined;
    return this.isSecretExpired(principal) ? undefined : principal;
  }

  isSecretExpired(principal: ServicePrincipal): boolean {
    return principal.secretExpiresAt !== undefined && principal.secretExpiresAt <= this.clock.now();
  }

  /** As `az ad app federated-credential create`. */
  addFederatedCredential(clientId: string, credential: FederatedCredential): void {
    const principal = this.#principals.get(clientId);
    if (principal === undefined) throw new Error(`There is no application ${clientId}.`);
    const federatedCredentials = [...(principal.federatedCredentials ?? []), credential];
    this.#principals.set(clientId, { ...principal, federatedCredentials });
  }

  /** An Entra access token for an audience, 3,599 s. */
  issueAccessToken(principal: ServicePrincipal, audience: string): string {
    return this.signer.sign(
      {
        aud: audience,
        iss: `https://sts.windows.net/${principal.tenantId}/`,
        tid: principal.tenantId,
        appid: principal.clientId,
        jti: randomUUID(),
      },
      3_599,
    );
  }
}
