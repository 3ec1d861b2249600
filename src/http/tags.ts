/** The chapters of the OpenAPI document, in its order. */
export const tags = {
  "Registry tokens": "Short-lived tokens for the registries of a factory: what a CI job comes for.",
  Secrets: "Values that registry entries name. A value can be written, never read.",
  "Factory config": "The versioned `factory-config.yml`.",
  Registries: "The entries of `container_registries`, one at a time. All else in the document stays as it was.",
  Access: "Operator tokens and the API tokens of a factory.",
  OAuth: "Access tokens for `fioctl login`, programs and CI jobs with an ID token.",
  Jobs: "CI jobs, each with a token of its own.",
  Factories: "The tenants of this installation.",
  Keys: "The key-encryption keys of this installation, and the data keys of its factories.",
  Audit: "What was done and refused, by whom and when.",
  fioctl: "The wire protocol of `fioctl secrets`. Every path also answers with a slash at its end, as fioctl asks.",
  System: "Health, metrics and this document.",
} as const;

export type Tag = keyof typeof tags;
