// The parts of Kubernetes' published types that our examples use, strict: a member that is misspelt is not one of them.
import { z } from "zod";

const Name = z.string().regex(/^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/);
const Metadata = z.strictObject({ name: Name });
/** metav1.Duration: what Go's time.ParseDuration reads. */
const Duration = z.string().regex(/^(\d+(h|m|s))+$/);

/** k8s.io/kubelet at 63b3249724f7, config/v1/types.go. */
export const CredentialProviderConfig = z.strictObject({
  apiVersion: z.literal("kubelet.config.k8s.io/v1"),
  kind: z.literal("CredentialProviderConfig"),
  providers: z
    .array(
      z.strictObject({
        name: z.string(),
        matchImages: z.array(z.string()).min(1),
        defaultCacheDuration: Duration,
        apiVersion: z.literal("credentialprovider.kubelet.k8s.io/v1"),
        args: z.array(z.string()).optional(),
        env: z.array(z.strictObject({ name: z.string(), value: z.string() })).optional(),
        tokenAttributes: z
          .strictObject({
            serviceAccountTokenAudience: z.string().min(1),
            cacheType: z.enum(["Token", "ServiceAccount"]),
            requireServiceAccount: z.boolean(),
            requiredServiceAccountAnnotationKeys: z.array(z.string()).optional(),
            optionalServiceAccountAnnotationKeys: z.array(z.string()).optional(),
          })
          .optional(),
      }),
    )
    .min(1),
});

/** https://kubernetes.io/docs/reference/kubernetes-api/, rbac.authorization.k8s.io/v1 and v1. */
const PolicyRule = z.strictObject({
  apiGroups: z.array(z.string()),
  resources: z.array(z.string()).min(1),
  resourceNames: z.array(z.string()).optional(),
  verbs: z.array(z.string()).min(1),
});
const rbac = { apiVersion: z.literal("rbac.authorization.k8s.io/v1"), metadata: Metadata };
const roleOf = (kind: string) => z.strictObject({ ...rbac, kind: z.literal(kind), rules: z.array(PolicyRule).min(1) });
const Subject = z.strictObject({
  kind: z.enum(["ServiceAccount", "Group"]),
  name: z.string(),
  apiGroup: z.literal("rbac.authorization.k8s.io").optional(),
});
const bindingOf = (kind: string, roleKind: string) =>
  z.strictObject({
    ...rbac,
    kind: z.literal(kind),
    roleRef: z.strictObject({
      apiGroup: z.literal("rbac.authorization.k8s.io"),
      kind: z.literal(roleKind),
      name: Name,
    }),
    subjects: z.array(Subject).min(1),
  });
export const Role = roleOf("Role");
export const ClusterRole = roleOf("ClusterRole");
export const RoleBinding = bindingOf("RoleBinding", "Role");
export const ClusterRoleBinding = bindingOf("ClusterRoleBinding", "ClusterRole");
export const ServiceAccount = z.strictObject({
  apiVersion: z.literal("v1"),
  kind: z.literal("ServiceAccount"),
  metadata: Metadata,
});

/** The same, v1: Container, Volume, PodSpec; batch/v1: CronJob, JobSpec. */
const Container = z.strictObject({
  name: Name,
  image: z.string(),
  command: z.array(z.string()),
  args: z.array(z.string()),
  env: z.array(z.strictObject({ name: z.string(), value: z.string() })),
  securityContext: z.strictObject({
    allowPrivilegeEscalation: z.boolean(),
    readOnlyRootFilesystem: z.boolean(),
    capabilities: z.strictObject({ drop: z.array(z.string()) }),
  }),
  resources: z.strictObject({
    requests: z.record(z.enum(["cpu", "memory"]), z.string()),
    limits: z.partialRecord(z.enum(["cpu", "memory"]), z.string()),
  }),
  volumeMounts: z.array(
    z.strictObject({ name: Name, mountPath: z.string().startsWith("/"), readOnly: z.boolean().optional() }),
  ),
});
const TokenProjection = z.strictObject({ path: z.string(), audience: z.string(), expirationSeconds: z.int().min(600) });
const Volume = z.strictObject({
  name: Name,
  emptyDir: z.strictObject({ medium: z.enum(["", "Memory"]), sizeLimit: z.string() }).optional(),
  projected: z.strictObject({ sources: z.array(z.strictObject({ serviceAccountToken: TokenProjection })) }).optional(),
  configMap: z.strictObject({ name: Name, optional: z.boolean() }).optional(),
});
const PodSpec = z.strictObject({
  serviceAccountName: Name,
  restartPolicy: z.enum(["Never", "OnFailure"]),
  securityContext: z.strictObject({
    runAsNonRoot: z.boolean(),
    runAsUser: z.int(),
    runAsGroup: z.int(),
    fsGroup: z.int(),
    seccompProfile: z.strictObject({ type: z.enum(["RuntimeDefault", "Unconfined", "Localhost"]) }),
  }),
  containers: z.array(Container).min(1),
  volumes: z.array(Volume),
});
const JobSpec = z.strictObject({
  backoffLimit: z.int(),
  activeDeadlineSeconds: z.int(),
  template: z.strictObject({ spec: PodSpec }),
});
export const CronJob = z.strictObject({
  apiVersion: z.literal("batch/v1"),
  kind: z.literal("CronJob"),
  metadata: Metadata,
  spec: z.strictObject({
    schedule: z.string(),
    concurrencyPolicy: z.enum(["Allow", "Forbid", "Replace"]),
    successfulJobsHistoryLimit: z.int(),
    failedJobsHistoryLimit: z.int(),
    jobTemplate: z.strictObject({ spec: JobSpec }),
  }),
});

/** external-secrets/external-secrets at cc5bfbc2234a, apis/externalsecrets/v1: secretstore_webhook_types.go. */
export const SecretStore = z.strictObject({
  apiVersion: z.literal("external-secrets.io/v1"),
  kind: z.literal("SecretStore"),
  metadata: Metadata,
  spec: z.strictObject({
    provider: z.strictObject({
      webhook: z.strictObject({
        method: z.string(),
        url: z.string(),
        headers: z.record(z.string(), z.string()),
        body: z.string(),
        timeout: Duration,
        result: z.strictObject({ jsonPath: z.string() }),
        secrets: z.array(z.strictObject({ name: z.string(), secretRef: z.strictObject({ name: Name }) })),
        caProvider: z.strictObject({ type: z.enum(["Secret", "ConfigMap"]), name: Name, key: z.string() }),
      }),
    }),
  }),
});

/** The same, externalsecret_types.go. */
export const ExternalSecret = z.strictObject({
  apiVersion: z.literal("external-secrets.io/v1"),
  kind: z.literal("ExternalSecret"),
  metadata: Metadata,
  spec: z.strictObject({
    refreshInterval: Duration,
    secretStoreRef: z.strictObject({ kind: z.enum(["SecretStore", "ClusterSecretStore"]), name: Name }),
    target: z.strictObject({
      name: Name,
      deletionPolicy: z.enum(["Delete", "Merge", "Retain"]),
      template: z.strictObject({ type: z.string() }),
    }),
    dataFrom: z.array(z.strictObject({ extract: z.strictObject({ key: z.string() }) })),
  }),
});

/** apps/v1: Deployment; v1: Probe, Service. */
const Labels = z.record(z.string(), z.string());
const Probe = z.strictObject({
  httpGet: z.strictObject({ path: z.string(), port: z.string() }),
  periodSeconds: z.int().positive(),
  timeoutSeconds: z.int().positive(),
  failureThreshold: z.int().positive(),
});
export const Deployment = z.strictObject({
  apiVersion: z.literal("apps/v1"),
  kind: z.literal("Deployment"),
  metadata: Metadata,
  spec: z.strictObject({
    replicas: z.int().positive(),
    selector: z.strictObject({ matchLabels: Labels }),
    strategy: z.strictObject({ rollingUpdate: z.strictObject({ maxUnavailable: z.int(), maxSurge: z.int() }) }),
    template: z.strictObject({
      metadata: z.strictObject({ labels: Labels }),
      spec: z.strictObject({
        terminationGracePeriodSeconds: z.int().positive(),
        securityContext: z.strictObject({ runAsNonRoot: z.boolean(), runAsUser: z.int(), fsGroup: z.int() }),
        containers: z.tuple([
          z.strictObject({
            name: Name,
            image: z.string(),
            env: z.array(z.strictObject({ name: z.string(), value: z.string() })),
            ports: z.array(z.strictObject({ name: Name, containerPort: z.int() })),
            livenessProbe: Probe,
            readinessProbe: Probe,
            securityContext: z.strictObject({
              allowPrivilegeEscalation: z.boolean(),
              readOnlyRootFilesystem: z.boolean(),
              capabilities: z.strictObject({ drop: z.array(z.string()) }),
            }),
            volumeMounts: z.array(z.strictObject({ name: Name, mountPath: z.string(), readOnly: z.boolean() })),
          }),
        ]),
        volumes: z.array(
          z.strictObject({ name: Name, secret: z.strictObject({ secretName: Name, defaultMode: z.int() }) }),
        ),
      }),
    }),
  }),
});
export const Service = z.strictObject({
  apiVersion: z.literal("v1"),
  kind: z.literal("Service"),
  metadata: Metadata,
  spec: z.strictObject({
    selector: Labels,
    ports: z.array(z.strictObject({ name: Name, port: z.int(), targetPort: z.string() })),
  }),
});
