const TIMEOUT_MS = 20_000
const KEY = 'castellan-authorization'

/** The value of `Authorization`, kept for this tab until it is closed. */
export const credentials = {
  get: (): string | null => sessionStorage.getItem(KEY),
  forget: (): void => sessionStorage.removeItem(KEY),
  /** Takes what the form for it says. Names and passwords are UTF-8, as the challenge of the gateway says. */
  take: (form: FormData): void => {
    const [token = '', user = '', password = ''] = ['token', 'user', 'password'].map(name => fieldOf(form, name))
    const basic = btoa(String.fromCharCode(...new TextEncoder().encode(`${user}:${password}`)))
    if (token + user !== '') sessionStorage.setItem(KEY, token === '' ? `Basic ${basic}` : `Bearer ${token.trim()}`)
  }
}

export const fieldOf = (form: FormData, name: string): string => String(form.get(name) ?? '')

/** The gateway did not answer as asked. */
export class NotAsAsked extends Error {
  /** 0: no answer came. */
  readonly status: number

  constructor(status: number, message: string) {
    super(message)
    this.status = status
  }
}

/**
 * Asks the gateway. The browser adds no credentials of its own where the user gave some here, so that it does not ask
 * for them by itself. Certificates of clients need TLS, and are the browser's.
 *
 * @throws NoAnswer
 */
export async function askGateway(path: string, body?: object): Promise<unknown> {
  const authorization = credentials.get()
  const mayHaveCertificate = authorization === null && location.protocol === 'https:'
  const response = await fetch(path, {
    method: body === undefined ? 'GET' : 'POST',
    cache: 'no-store',
    credentials: mayHaveCertificate ? 'same-origin' : 'omit',
    headers: {
      accept: 'application/json',
      ...(body !== undefined && { 'content-type': 'application/json' }),
      ...(authorization !== null && { authorization })
    },
    ...(body !== undefined && { body: JSON.stringify(body) }),
    signal: AbortSignal.timeout(TIMEOUT_MS)
  }).catch((error: Error) => {
    throw new NotAsAsked(0, error.name === 'TimeoutError' ? 'no answer in time' : 'no connection')
  })
  const answer: unknown = await response.json().catch(() => undefined)
  if (response.ok && answer !== undefined) return answer
  // A proxy answers in its own words.
  const { message = `the answer was ${response.status}` } = (answer ?? {}) as { message?: string }
  throw new NotAsAsked(response.status, message)
}
