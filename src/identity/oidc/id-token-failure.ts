/**
 * Why an ID token is not believed, in the order in which it is found out. Whoever presents the token is never told:
 * these are for the log and for those who may read the rules.
 */
export type IdTokenFailure =
  | "malformed"
  | "type"
  | "algorithm"
  | "issuer"
  | "audience"
  | "expired"
  | "not-yet-valid"
  | "too-long-lived"
  | "issuer-unreachable"
  | "key-unknown"
  | "signature";
