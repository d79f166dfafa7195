// What a registry of schemas has otherwise than it is declared: subjects whose schema it lacks, and those under another
// compatibility. Confluent's client has no question for the latter.
import { COMPATIBILITY, subjects as declaredSubjects, type Subject } from '#schemas/registry/subjects.ts';
import { KafkaError } from './errors.ts';
import { type RegistrySettings, wireSchemas } from './registry.ts';

export interface RegistryView {
  readonly subjects: number;
  /** Names of those whose schema, as this program writes it, is not there. */
  readonly missing: readonly string[];
  readonly otherwise: readonly { readonly subject: string; readonly is: string; readonly wanted: string }[];
}

const WITHIN_MS = 10_000;

/** Throws `KafkaError`: `registry-unavailable`, `forbidden` where it refuses the login. */
export const viewRegistry = async (
  settings: RegistrySettings,
  subjects: readonly Subject[] = declaredSubjects(),
): Promise<RegistryView> => {
  // First of all, as it tells a refused login from a registry that is away.
  await configuredMode(settings, subjects[0]?.name ?? '');
  const schemas = wireSchemas({ ...settings, known: {} });
  const missing: string[] = [];
  const otherwise: RegistryView['otherwise'][number][] = [];
  for (const subject of subjects) {
    const { name } = subject;
    const there = await schemas.idOf(subject).then(
      () => true,
      (error: unknown) => {
        if (error instanceof KafkaError && error.code === 'no-such-schema') return false;
        throw error;
      },
    );
    if (!there) {
      missing.push(name);
      continue;
    }
    const is = await configuredMode(settings, name);
    if (is !== COMPATIBILITY) otherwise.push({ subject: name, is: is ?? 'not set', wanted: COMPATIBILITY });
  }
  return { subjects: subjects.length, missing, otherwise };
};

/** The compatibility under which changes of the subject are judged. */
const configuredMode = async (
  { url, username, password }: RegistrySettings,
  subject: string,
): Promise<string | undefined> => {
  const login = Buffer.from(`${username}:${password ?? ''}`).toString('base64');
  const response = await fetch(`${url}/config/${encodeURIComponent(subject)}?defaultToGlobal=true`, {
    signal: AbortSignal.timeout(WITHIN_MS),
    ...(username !== undefined && { headers: { authorization: `Basic ${login}` } }),
  }).catch((cause: Error) => {
    const why = (cause.cause as Error | undefined)?.message ?? cause.message;
    throw new KafkaError('registry-unavailable', `the registry does not answer: ${why}`, { cause });
  });
  const body = await response.text();
  if (response.status === 401 || response.status === 403)
    throw new KafkaError('forbidden', `the registry refuses the login (${response.status})`);
  if (response.status === 404) return undefined;
  if (!response.ok)
    throw new KafkaError(
      'registry-unavailable',
      `the registry answers ${response.status} on ${response.url}`,
    );
  return modeIn(body, response.url);
};

const modeIn = (body: string, where: string): string | undefined => {
  try {
    return (JSON.parse(body) as { readonly compatibilityLevel?: string }).compatibilityLevel;
  } catch (cause) {
    throw new KafkaError('unexpected', `${where} does not answer as Confluent's interface does`, { cause });
  }
};
