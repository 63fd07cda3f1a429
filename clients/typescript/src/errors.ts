/** What the body of an error says. */
export interface ErrorBody {
  code?: string;
  error_code?: number;
  message?: string;
  retriable?: boolean;
  outcome?: "none" | "applied" | "unknown";
  request_id?: string;
  details?: Record<string, unknown>;
}

/**
 * An answer of the server that says that a request failed. `code` is the name to decide
 * by, `outcome` says whether anything happened all the same.
 */
export class OttlaError extends Error {
  readonly code: string;
  readonly errorCode: number;
  readonly retriable: boolean;
  readonly outcome: "none" | "applied" | "unknown";
  readonly requestId: string;
  readonly details: Record<string, unknown>;

  constructor(
    readonly status: number,
    body: ErrorBody,
    /** What the server asks to wait before the next try, in seconds. */
    readonly retryAfter?: number,
  ) {
    super(`${status} ${body.code ?? "not_ottla"}: ${body.message ?? ""}`);
    this.name = "OttlaError";
    this.code = body.code ?? "not_ottla";
    this.errorCode = body.error_code ?? status * 100;
    this.retriable = body.retriable ?? (status === 429 || status === 503 || status === 504);
    this.outcome = body.outcome ?? "unknown";
    this.requestId = body.request_id ?? "";
    this.details = body.details ?? {};
  }
}

/** No answer came: nobody knows whether the request has arrived. */
export class TransportError extends Error {
  constructor(message: string, cause: unknown) {
    super(message, { cause });
    this.name = "TransportError";
  }
}
