import { z } from "zod";
import { Grant, GrantView, RegistryName } from "../../core/grant.js";
import { hasNoControls, NextPageToken, noControlsRule, Timestamp } from "../../http/contract.js";
import { Label } from "../contract.js";

/** Authorities of one factory. All of them can stand in question for one certificate. */
export const maxAuthorities = 20;
/** Denials of one factory. For more there are revocation lists. */
export const maxDenials = 10_000;

const RoleAlias = z
  .strictObject({
    alias: z
      .string()
      .regex(/^[\w=,@-]{1,128}$/, "1 to 128 letters, digits and =,@-_")
      .meta({ description: "As AWS IoT has them.", example: "ecr-pull" }),
    registry: RegistryName,
  })
  .meta({ id: "RoleAlias" });

const RoleAliasView = z.object({ alias: z.string(), registry: z.string() }).meta({ id: "RoleAliasView" });

/** What the devices of an authority may pull. */
export const DevicePolicy = z
  .strictObject({
    grants: z
      .array(Grant)
      .min(1)
      .max(100)
      .optional()
      .meta({ description: "All that its devices may pull. Absent: everything of every entry." }),
    maxTtlSeconds: z
      .int()
      .min(60)
      .max(43_200)
      .optional()
      .meta({ description: "The longest life of a registry token. One that lives longer is not handed out." }),
    roleAliases: z
      .array(RoleAlias)
      .min(1)
      .max(20)
      .refine((list) => new Set(list.map(({ alias }) => alias)).size === list.length, "each alias once")
      .optional()
      .meta({
        description: "Names that clients of the AWS IoT credentials provider ask by. The id of an entry is one too.",
      }),
    allowStaleRevocationLists: z.boolean().optional().meta({
      description:
        "Go by a revocation list past its nextUpdate. Absent: all devices that it is for are refused until there is a new one.",
    }),
  })
  .meta({ id: "DevicePolicy" });

export type DevicePolicy = z.output<typeof DevicePolicy>;

const DevicePolicyView = z
  .object({
    grants: z.array(GrantView).optional(),
    maxTtlSeconds: z.int().optional(),
    roleAliases: z.array(RoleAliasView).optional(),
    allowStaleRevocationLists: z.boolean().optional(),
  })
  .meta({ id: "DevicePolicyView" });

export const DeviceAuthorityRequest = z
  .strictObject({
    name: Label,
    certificates: z
      .string()
      .min(1)
      .max(100_000)
      .meta({ description: "PEM: one self-signed root and, if there are any, its intermediates." }),
    // Not `.default`: a default beside a `$ref` takes an `allOf` in OpenAPI 3.0.
    policy: DevicePolicy.optional(),
  })
  .meta({ id: "DeviceAuthorityRequest" });

export const DeviceAuthorityChange = z
  .strictObject({ name: Label, policy: DevicePolicy })
  .meta({ id: "DeviceAuthorityChange" });

export const DeviceAuthority = z
  .object({
    id: z.uuid(),
    name: z.string(),
    fingerprint: z.string().meta({ description: "SHA-256 of the root certificate, hexadecimal." }),
    subject: z.string().meta({ description: "Of the root.", example: "CN=acme devices" }),
    expiresAt: Timestamp.meta({ description: "End of the root certificate." }),
    policy: DevicePolicyView,
    version: z.int().meta({ description: "Raised by each change, and by each revocation list." }),
    createdAt: Timestamp,
    updatedAt: Timestamp,
    createdBy: z.string(),
  })
  .meta({ id: "DeviceAuthority" });

export const DeviceAuthorityList = z
  .object({ items: z.array(DeviceAuthority), nextPageToken: NextPageToken })
  .meta({ id: "DeviceAuthorityList" });

export const RevocationListRequest = z
  .strictObject({
    revocationList: z
      .string()
      .min(1)
      .max(200_000)
      .meta({ description: "One X.509 CRL of at most 128 KiB: PEM, or base64 of its DER." }),
  })
  .meta({ id: "RevocationListRequest" });

export const RevocationListView = z
  .object({
    issuer: z.string(),
    number: z.string().meta({ description: "The CRL number, decimal." }),
    thisUpdate: Timestamp,
    nextUpdate: Timestamp,
    revoked: z.int().meta({ description: "How many certificates it revokes." }),
  })
  .meta({ id: "RevocationList" });

export const DeviceAuthorityDetail = DeviceAuthority.extend({
  certificates: z.string().meta({ description: "PEM, as registered." }),
  revocationLists: z.array(RevocationListView),
}).meta({ id: "DeviceAuthorityDetail" });

const Reason = z
  .string()
  .min(1)
  .max(500)
  .refine(hasNoControls, noControlsRule)
  .meta({ description: "For those who read it later." });

export const DeniedDeviceRequest = z
  .strictObject({
    deviceId: z.uuid().optional().meta({ description: "Every certificate with this CN. Give this or a serial." }),
    authorityId: z.uuid().optional().meta({ description: "The authority of the serial." }),
    serial: z
      .string()
      .max(80)
      .regex(/^(?:[0-9A-Fa-f]+|[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2})+)$/, "must be a serial number in hexadecimal")
      .optional()
      .meta({ description: "One certificate of a device.", example: "4f1e2d3c" }),
    reason: Reason.optional(),
  })
  .refine(
    ({ deviceId, authorityId, serial }) =>
      (deviceId === undefined) !== (serial === undefined) && (serial === undefined) === (authorityId === undefined),
    "must have either a deviceId, or an authorityId with a serial",
  )
  .meta({ id: "DeniedDeviceRequest" });

export const DeniedDevice = z
  .object({
    id: z.uuid(),
    deviceId: z.uuid().optional(),
    authorityId: z.uuid().optional(),
    serial: z.string().optional(),
    reason: z.string().optional(),
    createdAt: Timestamp,
    createdBy: z.string(),
  })
  .meta({ id: "DeniedDevice" });

export const DeniedDeviceList = z
  .object({ items: z.array(DeniedDevice), nextPageToken: NextPageToken })
  .meta({ id: "DeniedDeviceList" });
