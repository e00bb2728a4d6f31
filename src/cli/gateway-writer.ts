import { randomUUID } from 'node:crypto'
import { pause } from '../core/ending.js'
import { foreignTexts } from '../core/foreign-texts.js'
import type { Bytes, ProduceRecord } from '../core/model.js'
import { persistedIn } from '../verbs/persisted.js'

/** Outcome of writing a record. The message says why it is not known to be written. */
export interface Fate {
  readonly persisted: 'yes' | 'pending' | 'no' | 'unknown'
  readonly message?: string
}

export type Say = (text: string) => void

/** A longer body is a stream, which cannot have a key. */
const KEYED_BODY_BYTES = 1024 * 1024
const RETRY_PAUSE_MS = 1_000
const RETRIABLE: ReadonlySet<number> = new Set([408, 409, 429, 500, 502, 503, 504])

/**
 * Writes records by version 3 of Confluent's API. Each request has a key of its own and is sent again until it is
 * answered, so its records are written once.
 *
 * @param url of the gateway's shared port
 * @param say called at the first failed attempt of a request that is sent again
 * @returns a function that never rejects, and resolves with the fate of each record
 */
export function gatewayWriter(url: string, topic: string, token: string | undefined, timeoutMs: number, say: Say) {
  const path = `/confluent/v3/clusters/any/topics/${encodeURIComponent(topic)}/records`
  const login = token === undefined ? {} : { authorization: `Bearer ${token}` }
  return async (records: readonly ProduceRecord[]): Promise<readonly Fate[]> => {
    const body = records.map(bodyOf).join('\n')
    const hasKey = Buffer.byteLength(body) <= KEYED_BODY_BYTES
    const key = hasKey ? { 'idempotency-key': randomUUID() } : {}
    const headers = { 'content-type': 'application/json', ...login, ...key }
    const giveUpAt = performance.now() + timeoutMs
    let persisted: Fate['persisted'] = 'no'
    for (let attempt = 1; ; attempt++) {
      const signal = AbortSignal.timeout(Math.ceil(giveUpAt - performance.now()))
      const answer = await ask(url.replace(/\/+$/, '') + path, { method: 'POST', body, headers, signal })
      if ('fates' in answer) return records.map((_, at) => answer.fates[at] ?? { persisted: 'unknown' })
      // A refusal of a later attempt says nothing about an earlier one.
      if (answer.persisted === 'unknown') persisted = 'unknown'
      const isLast = !answer.isRetriable || performance.now() + RETRY_PAUSE_MS >= giveUpAt
      if (isLast || (persisted === 'unknown' && !hasKey)) return records.map(() => ({ ...answer, persisted }))
      if (attempt === 1)
        say(`${answer.message}; the request is sent again each second, until ${timeIn(giveUpAt)} (--timeout)`)
      await pause(RETRY_PAUSE_MS)
    }
  }
}

/** The local time of a moment of the monotonic clock: `20:31:05`. */
const timeIn = (at: number): string => new Date(Date.now() + at - performance.now()).toTimeString().slice(0, 8)

async function ask(
  url: string,
  request: RequestInit
): Promise<{ readonly fates: readonly Fate[] } | (Fate & { readonly isRetriable: boolean })> {
  try {
    const response = await fetch(url, request)
    const text = await response.text()
    if (response.status === 200) return { fates: text.trimEnd().split('\n').map(fateOf) }
    const persisted = response.headers.get('x-castellan-persisted') === 'no' ? 'no' : 'unknown'
    const message = `${url} answers ${response.status}: ${text.trim().slice(0, 1_000)}`
    return { persisted, message, isRetriable: RETRIABLE.has(response.status) }
  } catch (error) {
    const { code, message } = causeOf(error)
    // To some ports, such as 6000, `fetch` sends nothing, and neither without a trusted certificate.
    const isRefusedHere = badPort.test(message) || noTls.test(code ?? '')
    const isUnsent = isRefusedHere || code === 'ECONNREFUSED' || code === 'ENOTFOUND'
    return { persisted: isUnsent ? 'no' : 'unknown', message: whyNoAnswer(url, error), isRetriable: !isRefusedHere }
  }
}

const { badPort } = foreignTexts.node

/** Codes of a handshake that fails at each attempt, before anything of a request is sent. */
const noTls = /CERT|^UNABLE_TO_|^ERR_SSL_WRONG_VERSION_NUMBER$/

/** Clearer texts for codes and texts of `fetch` and OpenSSL that do not tell what to change. */
const clearer: readonly (readonly [RegExp, string])[] = [
  [badPort, 'programs send no HTTP requests to this port, which is reserved; choose another for the gateway'],
  [/^ERR_SSL_WRONG_VERSION_NUMBER$/, 'it does not speak TLS on this port; is it http://?'],
  [
    /SELF_SIGNED|^UNABLE_TO_/,
    'no authority that is trusted here has signed its certificate; NODE_EXTRA_CA_CERTS=FILE names one'
  ]
]

/** The error that `fetch` wraps. For a name with several addresses this has an error per address, and no message. */
const causeOf = (error: unknown) => ((error as Error).cause ?? error) as NodeJS.ErrnoException

/** For example `http://gateway:8080 does not answer: connect ECONNREFUSED 10.0.0.1:8080`. */
export function whyNoAnswer(url: string | URL, error: unknown): string {
  const { message, code } = causeOf(error)
  const [, clear = message || code] = clearer.find(([pattern]) => pattern.test(code ?? message)) ?? []
  return `${new URL(url).origin} does not answer: ${clear}`
}

function fateOf(line: string): Fate {
  const { error_code: code, message = '' }: { error_code: number; message?: string } = JSON.parse(line)
  if (code === 200) return { persisted: 'yes' }
  const persisted = persistedIn(message)
  return persisted === 'pending' ? { persisted } : { persisted, message: `${code}: ${message}` }
}

const bodyOf = ({ partition, key, value, headers = [], timestampMs }: ProduceRecord): string =>
  `{"headers":${JSON.stringify(headers.map(header => ({ name: header.key, value: base64(header.value) })))}${[
    partition === undefined ? '' : `,"partition_id":${partition}`,
    key === null ? '' : `,"key":{"type":"BINARY","data":"${base64(key)}"}`,
    value === null ? '' : `,"value":{"type":"BINARY","data":"${base64(value)}"}`,
    timestampMs === undefined ? '' : `,"timestamp":${timestampMs}e-3`
  ].join('')}}`

const base64 = (bytes: Bytes): string | null => (bytes === null ? null : Buffer.from(bytes).toString('base64'))
