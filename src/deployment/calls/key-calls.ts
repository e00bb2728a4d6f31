import type { IncomingHttpHeaders } from 'node:http'
import { ERROR_CODES } from '../../core/errors.js'
import type { ForwardedAnswer, ForwardedRequest } from '../../http/api/key-owners.js'
import type { WrittenAnswer } from '../../http/exchange/kept-response.js'
import type { AskedKey } from '../../producer/keys/local-keys.js'
import { type Call, FEW_BYTES, MANY_BYTES } from './call.js'
import {
  bytes,
  httpStatus,
  list,
  MANY,
  named,
  nothing,
  oneOf,
  optional,
  shape,
  text,
  tuple,
  wait,
  whole
} from './checks.js'
import { headers as recordHeaders } from './shapes.js'

/** How a gateway serves requests with keys: with all gateways of its list, by itself, or not now. */
export type KeySharing = 'shared' | 'alone' | 'refused'

/** A request with what has to be the same at both gateways. */
export interface Envelope {
  /** `KeyList.digest` */
  readonly list: string
  /** The gateway that calls, and the one that it means to call. */
  readonly by: string
  readonly to: string
  readonly request: ForwardedRequest
}

/** An answer as it is sent. One that has its headers as lines may have no others. */
export interface SentAnswer extends Omit<ForwardedAnswer, 'answer'> {
  readonly answer: Omit<WrittenAnswer, 'headers'> & Partial<Pick<WrittenAnswer, 'headers'>>
}

/** Also of the wait for the requests on their way. */
export const ENDING_TIMEOUT_MS = 2_000

const texts = list(text, MANY)
const headersByName = named<string | readonly string[] | undefined>(
  name => (name === 'set-cookie' ? optional(texts) : optional(text)),
  MANY
)
const sentAnswer = shape<SentAnswer>({
  answer: shape<SentAnswer['answer']>({
    status: httpStatus,
    headers: optional(list(tuple<[name: string, value: string]>(text, text), MANY)),
    body: bytes,
    lines: optional(text),
    persisted: optional(text)
  }),
  failure: optional(oneOf(...ERROR_CODES)),
  records: whole,
  bytes: whole
})

/** Asks how a gateway serves requests with keys. Builds that asked for keys instead of passing requests on do not serve it. */
const sharing: Call<object, KeySharing> = {
  name: 'keys of requests',
  question: shape({}),
  answer: oneOf('shared', 'alone', 'refused'),
  timeoutMs: 2_000,
  maxBytes: FEW_BYTES
}

/**
 * Says that this gateway carries out no more requests of others. The answer says that none is on the way, so that this
 * gateway may end without breaking a connection with a request whose outcome would be unknown. Earlier builds do not serve it.
 */
const ending: Call<object, void> = {
  name: 'end of keys',
  question: shape({}),
  answer: nothing,
  timeoutMs: ENDING_TIMEOUT_MS,
  maxBytes: FEW_BYTES,
  place: 'ending'
}

/** Passes a request on to the owner of its key. The request has a time limit of its own. */
const request: Call<Envelope, SentAnswer> = {
  name: 'keyed request',
  question: shape<Envelope>({
    list: text,
    by: text,
    to: text,
    request: shape<ForwardedRequest>({
      route: text,
      params: named(() => text, MANY),
      method: text,
      url: text,
      sentUrl: text,
      originalUrl: optional(text),
      headers: (value): value is IncomingHttpHeaders => headersByName(value),
      rawHeaders: texts,
      recordHeaders,
      body: bytes,
      asked: shape<AskedKey>({ hash: text, fingerprint: text }),
      requestId: text,
      principal: text,
      address: text,
      waitMs: wait
    })
  }),
  answer: (value): value is SentAnswer =>
    sentAnswer(value) && (value.answer.headers ?? value.answer.lines) !== undefined,
  timeoutMs: 0,
  maxBytes: MANY_BYTES,
  place: 'long'
}

/** Calls about requests with keys. */
export const KEY_CALLS = { sharing, ending, request }
