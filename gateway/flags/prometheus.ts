// Figures from whatever speaks the HTTP API of Prometheus (prometheus.io/docs/prometheus/latest/querying/api, "Instant
// queries"; Mimir, Thanos and VictoriaMetrics do). What it says is handed on as it is said, NaN and +Inf too: a ramp
// judges. What cannot be told for certain is a fault, and is never told as a number.

export interface PrometheusSource {
  /** Of the server, for example https://prometheus.internal:9090; a path in it is kept. */
  readonly url: string;
  /** The whole header `Authorization`, where one is wanted. */
  readonly authorization?: string | undefined;
}

export interface InstantQuery {
  /** PromQL that comes to one series, or a scalar. */
  readonly query: string;
  /** As of when: milliseconds since 1970. */
  readonly at: number;
  readonly signal: AbortSignal;
  /** 10,000 unless told. */
  readonly withinMs?: number;
}

/** The value as the source writes it; `undefined` where the series is empty, or stale, which is the same there. */
export type AskSeries = (query: InstantQuery) => Promise<string | undefined>;

/** There is no answer, or none that says one thing. Nothing may go on because of it. */
export class PrometheusFault extends Error {
  override readonly name = 'PrometheusFault';
}

const WITHIN_MS = 10_000;
const BODY_BYTES_MAX = 1 << 20;

/** Throws `PrometheusFault`. */
export const prometheus =
  ({ url, authorization }: PrometheusSource): AskSeries =>
  async ({ query, at, signal, withinMs = WITHIN_MS }) => {
    const answer = await answered(async () => {
      const response = await fetch(`${url.replace(/\/+$/, '')}/api/v1/query`, {
        method: 'POST',
        // A redirect would take the header elsewhere.
        redirect: 'error',
        headers: {
          accept: 'application/json',
          'content-type': 'application/x-www-form-urlencoded',
          ...(authorization !== undefined && { authorization }),
        },
        body: new URLSearchParams({ query, time: String(at / 1_000), timeout: `${withinMs}ms` }).toString(),
        signal: AbortSignal.any([signal, AbortSignal.timeout(withinMs)]),
      });
      return { status: response.status, text: await bodyOf(response) };
    }, withinMs);
    return valueOf(answer, query);
  };

const answered = async <T>(ask: () => Promise<T>, withinMs: number): Promise<T> => {
  try {
    return await ask();
  } catch (error) {
    if (error instanceof PrometheusFault) throw error;
    const { name, message, cause } = error as Error & { cause?: { code?: string; message?: string } };
    const why =
      name === 'TimeoutError'
        ? `did not answer within ${withinMs} ms`
        : `cannot be reached: ${cause?.code ?? cause?.message ?? message}`;
    throw new PrometheusFault(`Prometheus ${why}`, { cause: error });
  }
};

const bodyOf = async (response: Response): Promise<string> => {
  const decoder = new TextDecoder();
  let text = '';
  for await (const chunk of response.body ?? []) {
    text += decoder.decode(chunk, { stream: true });
    if (text.length > BODY_BYTES_MAX)
      throw new PrometheusFault(
        'Prometheus answers with more than a mebibyte: give a query that comes to one series',
      );
  }
  return text;
};

interface Document {
  readonly status?: string;
  readonly errorType?: string;
  readonly error?: string;
  readonly warnings?: readonly string[];
  readonly data?: { readonly resultType?: string; readonly result?: unknown };
}

const valueOf = (
  answer: { readonly status: number; readonly text: string },
  query: string,
): string | undefined => {
  const document = documentOf(answer.text);
  if (!document)
    throw new PrometheusFault(`what answers is no Prometheus: ${answer.status} without a JSON document`);
  if (document.status !== 'success')
    throw new PrometheusFault(
      `Prometheus answered ${answer.status}: ${document.errorType ?? 'error'}: ${document.error ?? 'it says no more'}`,
    );
  // A part of the stores behind it did not answer: the sum is of the others only.
  if (document.warnings && document.warnings.length > 0)
    throw new PrometheusFault(`Prometheus answered in part only: ${document.warnings.join('; ')}`);
  const { resultType, result } = document.data ?? {};
  if (resultType === 'scalar') return sampleOf(result, query);
  if (resultType !== 'vector' || !Array.isArray(result))
    throw new PrometheusFault(
      `${query} comes to a ${resultType ?? 'nothing'}: give one that comes to one series`,
    );
  if (result.length > 1)
    throw new PrometheusFault(`${query} comes to ${result.length} series: sum them up, so that there is one`);
  return result.length === 0 ? undefined : sampleOf((result[0] as { value?: unknown }).value, query);
};

const documentOf = (text: string): Document | undefined => {
  try {
    const document = JSON.parse(text) as Document | null;
    return typeof document === 'object' && document !== null ? document : undefined;
  } catch {
    return undefined;
  }
};

const sampleOf = (sample: unknown, query: string): string => {
  const [, value] = Array.isArray(sample) ? (sample as readonly unknown[]) : [];
  if (typeof value === 'string') return value;
  throw new PrometheusFault(`${query} comes to no sample: give one that comes to one series`);
};
