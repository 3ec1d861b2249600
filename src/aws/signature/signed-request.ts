/** A request as it arrived: what a signature over it is checked against. */
export type SignedRequest = {
  method: string;
  /** Path and query as they were sent, still percent-encoded. */
  target: string;
  /** Name and value of each header, in the order and spelling in which they were sent. */
  headers: readonly (readonly [string, string])[];
  body: Buffer;
};

/** The values of one header, in order. @param name - in lower case */
export function headerValues({ headers }: Pick<SignedRequest, "headers">, name: string): string[] {
  return headers.filter(([given]) => given.toLowerCase() === name).map(([, value]) => value);
}

/** The header's value; `undefined` when it is not there, or more than once: then it says nothing for certain. */
export function onlyHeader(request: Pick<SignedRequest, "headers">, name: string): string | undefined {
  const values = headerValues(request, name);
  return values.length === 1 ? values[0] : undefined;
}
