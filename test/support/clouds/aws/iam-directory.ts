import { randomBytes } from "node:crypto";
import type { Clock } from "../clock.js";
import { isAllowed, type PolicyDocument, policyAllowing } from "./iam-policy.js";

/** Long-term keys of an IAM user. */
export type IamUser = {
  accountId: string;
  userName: string;
  accessKeyId: string;
  secretAccessKey: string;
  policy: PolicyDocument;
};

export type IamRole = {
  accountId: string;
  roleName: string;
  policy: PolicyDocument;
  /** ARNs of the users and roles that may assume it. */
  trusts: readonly string[];
  externalId?: string;
  /** The role's `MaxSessionDuration`. */
  maxSessionSeconds: number;
};

/** Who signed a request, with everything that limits it. */
export type Principal = {
  kind: "user" | "assumed-role" | "federated-user";
  accountId: string;
  arn: string;
  /** What a trust policy names: the user's ARN, or the role's behind a session. */
  trustArn: string;
  /** All of them have to allow an action. */
  policies: readonly PolicyDocument[];
  /** The end of a session; long-term keys have none. */
  expiresAt?: Date;
};

export type TemporaryCredentials = {
  accessKeyId: string;
  secretAccessKey: string;
  sessionToken: string;
  expiresAt: Date;
};

export type KeyRecord = { secretAccessKey: string; sessionToken?: string; principal: Principal };

const everythingNeeded = policyAllowing(["ecr:*", "ecr-public:*", "sts:*"]);

/** The stand-in's IAM: users, roles and the keys of both. The partition is `aws` throughout. */
export class IamDirectory {
  readonly #keys = new Map<string, KeyRecord>();
  readonly #roles = new Map<string, IamRole>();

  constructor(private readonly clock: Clock) {}

  /** Adds a user; without a policy it may do everything that this product asks for. Gives back its ARN. */
  addUser(user: Omit<IamUser, "policy"> & { policy?: PolicyDocument }): string {
    const arn = `arn:aws:iam::${user.accountId}:user/${user.userName}`;
    this.#keys.set(user.accessKeyId, {
      secretAccessKey: user.secretAccessKey,
      principal: {
        kind: "user",
        accountId: user.accountId,
        arn,
        trustArn: arn,
        policies: [user.policy ?? everythingNeeded],
      },
    });
    return arn;
  }

  /** Adds a role; its sessions live an hour unless it allows more. Gives back its ARN. */
  addRole(
    role: Omit<IamRole, "policy" | "maxSessionSeconds"> & { policy?: PolicyDocument; maxSessionSeconds?: number },
  ): string {
    const arn = roleArn(role.accountId, role.roleName);
    this.#roles.set(arn, { maxSessionSeconds: 3_600, policy: everythingNeeded, ...role });
    return arn;
  }

  /** Keys of the account's root user, which no policy limits. Gives back its ARN. */
  addRoot(root: Pick<IamUser, "accountId" | "accessKeyId" | "secretAccessKey">): string {
    const { accountId, accessKeyId, secretAccessKey } = root;
    const arn = `arn:aws:iam::${accountId}:root`;
    const policies = [policyAllowing(["*"])];
    this.#keys.set(accessKeyId, {
      secretAccessKey,
      principal: { kind: "user", accountId, arn, trustArn: arn, policies },
    });
    return arn;
  }

  /** The policies of a user or a role. */
  policiesOf(arn: string): readonly PolicyDocument[] | undefined {
    const role = this.#roles.get(arn);
    if (role !== undefined) return [role.policy];
    return [...this.#keys.values()].find(({ principal }) => principal.arn === arn)?.principal.policies;
  }

  wouldAllow(policies: readonly PolicyDocument[], action: string): boolean {
    return isAllowed(policies, action, "*");
  }

  /** The key stops working, as after `DeleteAccessKey`. */
  removeKey(accessKeyId: string): void {
    this.#keys.delete(accessKeyId);
  }

  roleOf(arn: string): IamRole | undefined {
    return this.#roles.get(arn);
  }

  keyOf(accessKeyId: string): KeyRecord | undefined {
    return this.#keys.get(accessKeyId);
  }

  /** Makes temporary keys for a principal that has an end. */
  openSession(principal: Principal & { expiresAt: Date }): TemporaryCredentials {
    const credentials = {
      accessKeyId: `ASIA${randomBytes(10).toString("hex").slice(0, 16).toUpperCase()}`,
      secretAccessKey: randomBytes(30).toString("base64"),
      sessionToken: randomBytes(96).toString("base64"),
      expiresAt: principal.expiresAt,
    };
    this.#keys.set(credentials.accessKeyId, { ...credentials, principal });
    return credentials;
  }

  hasExpired(principal: Principal): boolean {
    return principal.expiresAt !== undefined && principal.expiresAt <= this.clock.now();
  }

  allows(principal: Principal, action: string, resource: string): boolean {
    return isAllowed(principal.policies, action, resource);
  }
}

export function roleArn(accountId: string, roleName: string): string {
  return `arn:aws:iam::${accountId}:role/${roleName}`;
}
