import { credentials } from './credentials.js'

const TIMEOUT_MS = 20_000

/** The gateway did not answer as asked. */
export class Refused extends Error {
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
 * @throws Refused
 */
export async function ask(path: string, body?: object): Promise<unknown> {
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
    throw new Refused(0, error.name === 'TimeoutError' ? 'no answer in time' : 'no connection')
  })
  const text = await response.text().catch(() => '')
  if (!response.ok) throw new Refused(response.status, messageOf(text, response.status))
  return JSON.parse(text) as unknown
}

function messageOf(text: string, status: number): string {
  try {
    const { message } = JSON.parse(text) as { message?: unknown }
    if (typeof message === 'string') return message
  } catch {
    // A proxy answers in its own words.
  }
  return `the answer was ${status}`
}
