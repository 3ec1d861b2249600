import { Problem } from "../../core/problem.js";

/**
 * What a call of any other service of AWS is told.
 * @param service - as the request was signed for: letters, digits and dashes
 */
export function otherService(service: string | undefined): Problem {
  const name = service === undefined ? "another service of AWS" : `"${service}"`;
  return new Problem(
    "not-offered",
    `This is factory-secrets, not AWS: it answers Amazon ECR's GetAuthorizationToken only, and this call is for ${name}. It came here because AWS_ENDPOINT_URL, or endpoint_url in ~/.aws, is set for all of AWS. Set AWS_ENDPOINT_URL_ECR instead, and make this call with other credentials.`,
  );
}

/** What a call of any other operation of Amazon ECR is told. */
export function otherOperation(): Problem {
  return new Problem(
    "not-offered",
    "Of Amazon ECR factory-secrets answers GetAuthorizationToken only. Use docker for images; for other calls use credentials of AWS, without AWS_ENDPOINT_URL_ECR.",
  );
}
