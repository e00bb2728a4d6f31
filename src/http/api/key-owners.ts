import { type IncomingHttpHeaders, IncomingMessage } from 'node:http'
import { Socket } from 'node:net'
import type { ErrorCode } from '../../core/errors.js'
import type { RecordHeader } from '../../core/model.js'
import type { AskedKey } from '../../producer/keys/local-keys.js'
import { principalOf } from '../access/access.js'
import { type Exchange, keepSentUrl, sentUrlOf } from '../exchange/exchange.js'
import type { WrittenAnswer } from '../exchange/kept-response.js'
import type { Params } from './endpoint.js'
import { originOf } from './request-origin.js'

/** A request that is passed on to the process that owns its key: all that its API needs. */
export interface ForwardedRequest {
  /** The route that it came to, by its name, and the parameters of its path. */
  readonly route: string
  readonly params: Params
  readonly method: string
  readonly url: string
  readonly sentUrl: string
  /** Absent: it came to the shared port. */
  readonly originalUrl?: string | undefined
  /** Headers without credentials, and without those that belong to one connection. */
  readonly headers: IncomingHttpHeaders
  readonly rawHeaders: readonly string[]
  readonly recordHeaders: readonly RecordHeader[]
  readonly body: Buffer
  readonly asked: AskedKey
  readonly requestId: string
  /** The client, as the process has authenticated it that the request came to. */
  readonly principal: string
  readonly address: string
  /** How long it waits for an earlier request with its key. */
  readonly waitMs: number
}

export interface ForwardedAnswer {
  readonly answer: WrittenAnswer
  /** Why the request has failed, for the log. */
  readonly failure?: ErrorCode | undefined
  /** Amounts to charge to the client by the process that has received the request. */
  readonly records: number
  readonly bytes: number
}

export type CarryOut = (request: ForwardedRequest) => Promise<ForwardedAnswer>

/**
 * Passes a request on to the process that owns its key, which carries it out.
 *
 * @throws NotCarriedOutError when it is certain that the process does not carry the request out
 * @throws Error when there is no answer, and the request may be carried out
 */
export type PassOn = (request: ForwardedRequest, timeoutMs: number) => Promise<ForwardedAnswer>

/** A request that its owner has certainly not carried out. */
export interface HeldForOwner {
  /** Hash of the key. */
  readonly hash: string
  /** The client whose turn it uses. `undefined`: it has no name. */
  readonly client: string | undefined
  /** Size of the body. */
  readonly bytes: number
  /** Resolves when the client has left. */
  readonly left: Promise<void>
}

/** Requests wait here until the owners of their keys can be tried again. */
export interface Holding {
  /** Whether requests are held for the owner of a key. */
  isHolding(hash: string): boolean
  /** Whether a request with the key has been held that has not ended: later ones wait behind it. */
  hasEarlier(hash: string): boolean
  /**
   * Lets a request wait for its owner. A request that comes again keeps its place before later ones with its key.
   *
   * @param limitMs how long it may be held
   * @returns whether it may be tried now; `false`: its time is over, its client has left, or no further one is held
   */
  wait(request: HeldForOwner, limitMs: number): Promise<boolean>
  /** A request is not tried again, whether it was held or not. */
  ended(request: HeldForOwner): void
}

/** Processes that share keys of requests: each key has one of them as its owner, which alone carries out requests with it. */
export interface KeyOwners {
  /** Reach of a key: this gateway only, or all gateways of the deployment. */
  readonly scope: 'gateway' | 'deployment'
  /** @returns `undefined`: this process owns the key */
  ownerOf(hash: string): PassOn | undefined
  /** Absent: no request waits for its owner. */
  readonly holding?: Holding
  /** Called when the routes exist. From then on other processes may pass on requests whose keys this process owns. */
  serve(carryOut: CarryOut): void
  /**
   * From now on the requests of others are refused, and none of this process waits for its owner.
   *
   * @returns when those that were begun have been carried out
   */
  close(): Promise<void>
}

/** The code of an owner that has no such route. */
export const NOT_SERVED = 'notServed'

/** A request was not passed on, or its owner refuses it before it looks at its key. The message says why. */
export class NotCarriedOutError extends Error {
  static readonly code = 'notCarriedOut'
  override readonly name = 'NotCarriedOutError'
  readonly code: string
  /** `busy`: too many requests are under way at the owner. `notServed`: it has no such route, and serves others. */
  readonly why: 'away' | 'busy' | 'notServed'

  constructor(message: string, why: NotCarriedOutError['why'] = 'away') {
    super(message)
    this.why = why
    this.code = why === 'notServed' ? NOT_SERVED : NotCarriedOutError.code
  }
}

const STAYS_HERE =
  /^(?:authorization|proxy-authorization|cookie|connection|keep-alive|te|trailer|transfer-encoding|upgrade|http2-settings|expect)$/i

type RequestWithUrl = IncomingMessage & { originalUrl?: string }

/** @param route the name of its route */
export function toForwarded(
  { request, requestId }: Exchange,
  route: string,
  params: Params,
  asked: AskedKey,
  body: Buffer,
  waitMs: number
): ForwardedRequest {
  const { method = '', url = '', headers, rawHeaders, socket, originalUrl } = request as RequestWithUrl
  return {
    route,
    params: { ...params },
    method,
    url,
    sentUrl: sentUrlOf(request),
    originalUrl,
    headers: {
      ...Object.fromEntries(Object.entries(headers).filter(([name]) => !STAYS_HERE.test(name))),
      // The body has come, also where its length was not announced.
      'content-length': String(body.length)
    },
    rawHeaders: rawHeaders.filter((_, at) => !STAYS_HERE.test(rawHeaders[at - (at % 2)]!)),
    recordHeaders: originOf(request).recordHeaders,
    body,
    asked,
    requestId,
    principal: principalOf(request),
    address: socket.remoteAddress ?? '',
    waitMs
  }
}

/** The parts of a request's head that its API reads. */
type HeadOfRequest = Pick<
  ForwardedRequest,
  'method' | 'url' | 'sentUrl' | 'originalUrl' | 'headers' | 'rawHeaders' | 'recordHeaders' | 'address'
>

/** A request that came to no listener of this process. */
export function requestOf(forwarded: HeadOfRequest): IncomingMessage {
  const { method, url, sentUrl, originalUrl, headers, rawHeaders, recordHeaders, address } = forwarded
  const socket = Object.defineProperty(new Socket(), 'remoteAddress', { value: address })
  const head = { method, url, httpVersion: '1.1', httpVersionMinor: 1, headers, rawHeaders: [...rawHeaders] }
  const request: RequestWithUrl = Object.assign(new IncomingMessage(socket), head)
  keepSentUrl(request, sentUrl)
  if (originalUrl !== undefined) request.originalUrl = originalUrl
  const headersOfRecords = recordHeaders.map(({ key, value }) => ({ key, value: value && Buffer.from(value) }))
  originOf(request).recordHeaders = headersOfRecords
  return request
}
