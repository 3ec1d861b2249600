export type ApiReply = { status: number; text: string; json: unknown };

export type ApiRequest = { method?: string; body?: unknown; yaml?: string; headers?: Record<string, string> };

/** Asks the service over HTTP as the holder of a token. */
export type Api = (token: string, path: string, request?: ApiRequest) => Promise<ApiReply>;

export function createApi(url: string): Api {
  return async (token, path, { method, body, yaml, headers } = {}) => {
    const content = yaml ?? (body === undefined ? undefined : JSON.stringify(body));
    const contentType = yaml === undefined ? "application/json" : "application/yaml";
    const reply = await fetch(url + path, {
      method: method ?? (content === undefined ? "GET" : "POST"),
      headers: { "OSF-TOKEN": token, ...(content !== undefined && { "Content-Type": contentType }), ...headers },
      ...(content !== undefined && { body: content }),
    });
    const text = await reply.text();
    const isJson = /\bjson\b/.test(reply.headers.get("content-type") ?? "");
    return { status: reply.status, text, json: isJson ? JSON.parse(text) : undefined };
  };
}

/** The reply, when it has the status that the step promises. */
export function expectStatus(reply: ApiReply, status: number): ApiReply {
  if (reply.status === status) return reply;
  throw new Error(`Expected status ${status}, but the answer was ${reply.status}: ${reply.text}`);
}
