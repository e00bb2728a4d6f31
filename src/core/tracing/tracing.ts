import type { Attributes, Context, Link, Span, SpanStatusCode, TextMapGetter, Tracer } from '@opentelemetry/api'
import type { RecordHeader, TopicPartition } from '../model.js'
import { loadOptional } from '../optional-package.js'
import { loadPackage } from '../package-file.js'
import { knownMethods, attributes as names, RETRY_EVENT, SYSTEM, spanOperations } from './names.js'

type TracingApi = typeof import('@opentelemetry/api')

/** A place in a trace: spans can begin below it, or be linked to it. */
export type TraceContext = Context

export interface TraceOfRequest {
  readonly context: TraceContext
  /** The fields that a propagator writes for the context: `traceparent` and, if there is one, `tracestate`. */
  fields(): Readonly<Record<string, string>>
  /** As {@link Tracing.asks}, for the request. */
  asks(group: string): MessagesGiven
}

/** Ends the spans of messages: the client has got these. */
export type MessagesGiven = (messages: readonly TracedMessage[]) => void

interface TracedMessage extends TopicPartition {
  readonly offset: number
  readonly headers: readonly RecordHeader[]
}

export interface BegunRequest {
  readonly method: string
  /** The route with names of parameters in place of values. `undefined`: no route matched. */
  readonly route: string | undefined
  readonly api: string
  readonly requestId: string
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>
  readonly clientAddress: string
  readonly protocolVersion: string
  readonly isTls: boolean
}

/** A batch on its way to Kafka. Ended by exactly one of its methods, save `retry`. */
export interface SendSpan {
  /** Kafka has the batch; -1: at an unknown offset. */
  delivered(offset: number, attempts: number): void
  /** @param code a code of docs/errors.md */
  failed(code: string, attempts: number): void
  /** An attempt has failed, and the batch is sent again. */
  retry(reason: string): void
  /** The batch goes on as others, or in another process. */
  replaced(): void
}

export interface TracedBatch extends TopicPartition {
  readonly recordCount: number
  readonly sizeBytes: number
  readonly durability: 'memory' | 'disk'
  /** The contexts of the requests whose records it has. */
  readonly contexts: Iterable<TraceContext>
}

/** Largest number of contexts that are linked to a batch. The SDKs keep 128 links by default. */
const MAX_LINKS = 64
const SERVER_ERROR = 500
/** Host and port of the header `Host`, such as `gateway:8080`. */
const HOST = /^(\[[^\]]+\]|[^:]*)(?::(\d{1,5}))?$/

/**
 * Makes the spans of the process with the tracer that an SDK has registered. It exists only where there is an SDK. A
 * context is passed with the request and its records, since several requests share a batch, and an event loop that serves
 * all of them has no current one.
 */
export class Tracing {
  readonly #api: TracingApi
  readonly #tracer: Tracer

  constructor(api: TracingApi, tracer: Tracer) {
    this.#api = api
    this.#tracer = tracer
  }

  /** The span of a request, from its headers to the end of its answer. The headers may name its parent. */
  request({
    method,
    route,
    api,
    requestId,
    headers,
    clientAddress,
    protocolVersion,
    isTls
  }: BegunRequest): RequestSpan {
    const isKnown = knownMethods.has(method)
    const [, host, port] = HOST.exec(String(headers.host ?? '')) ?? []
    const attributes: Attributes = {
      [names.httpMethod]: isKnown ? method : '_OTHER',
      [names.urlScheme]: isTls ? 'https' : 'http',
      [names.clientAddress]: clientAddress,
      [names.protocolVersion]: protocolVersion,
      [names.api]: api,
      [names.requestId]: requestId,
      ...(isKnown ? {} : { [names.httpOriginalMethod]: method }),
      ...(route === undefined ? {} : { [names.httpRoute]: route, [names.urlPath]: route }),
      ...(host ? { [names.serverAddress]: host } : {}),
      ...(port === undefined ? {} : { [names.serverPort]: Number(port) }),
      ...(headers['user-agent'] === undefined ? {} : { [names.userAgent]: String(headers['user-agent']) })
    }
    const { propagation, ROOT_CONTEXT, SpanKind, trace } = this.#api
    const parent = propagation.extract(ROOT_CONTEXT, headers)
    const name = `${isKnown ? method : 'HTTP'}${route === undefined ? '' : ` ${route}`}`
    const span = this.#tracer.startSpan(name, { kind: SpanKind.SERVER, attributes }, parent)
    return new RequestSpan(this, this.#api, span, trace.setSpan(parent, span))
  }

  /** The context of the calling code, for programs that use the library: their calls have no request. */
  get current(): TraceContext {
    return this.#api.context.active()
  }

  /** The span of a batch from its first attempt to its outcome, linked to the requests whose records it has. */
  send({ topic, partition, recordCount, sizeBytes, durability, contexts }: TracedBatch): SendSpan {
    const { SpanKind, SpanStatusCode, ROOT_CONTEXT } = this.#api
    const span = this.#tracer.startSpan(
      `${spanOperations.send} ${topic}`,
      {
        // The context in the records, if any, is that of the request: the convention's kind for such a send is CLIENT.
        kind: SpanKind.CLIENT,
        links: this.#linksTo(contexts),
        attributes: {
          [names.system]: SYSTEM,
          [names.operation]: spanOperations.send,
          [names.operationType]: spanOperations.send,
          [names.destination]: topic,
          [names.partition]: String(partition),
          [names.batchCount]: recordCount,
          [names.batchBytes]: sizeBytes,
          [names.durability]: durability
        }
      },
      ROOT_CONTEXT
    )
    return new BatchSpan(span, SpanStatusCode.ERROR)
  }

  /**
   * Begins the spans of messages that a client asks for now, linked to the contexts in their headers: one for messages of a
   * partition that follow each other.
   *
   * @param parent absent: the context of the code that has the messages
   */
  asks(group: string, parent?: TraceContext): MessagesGiven {
    const askedAt = Date.now()
    return messages => {
      let from = 0
      for (let at = 1; at <= messages.length; at++) {
        const [first, next] = [messages[from]!, messages[at]]
        if (next !== undefined && next.topic === first.topic && next.partition === first.partition) continue
        this.#process(group, messages.slice(from, at), askedAt, parent ?? this.current)
        from = at
      }
    }
  }

  /** @param messages of one partition */
  #process(group: string, messages: readonly TracedMessage[], askedAt: number, parent: TraceContext): void {
    const { SpanKind, ROOT_CONTEXT, propagation } = this.#api
    const { topic, partition, offset } = messages[0]!
    const contexts = messages.map(({ headers }) => propagation.extract(ROOT_CONTEXT, headers, headerGetter))
    this.#tracer
      .startSpan(
        `${spanOperations.process} ${topic}`,
        {
          kind: SpanKind.CONSUMER,
          startTime: askedAt,
          links: this.#linksTo(contexts),
          attributes: {
            [names.system]: SYSTEM,
            [names.operation]: spanOperations.process,
            [names.operationType]: spanOperations.process,
            [names.destination]: topic,
            [names.partition]: String(partition),
            [names.group]: group,
            [names.batchCount]: messages.length,
            [names.offset]: offset
          }
        },
        parent
      )
      .end()
  }

  /**
   * The span of records until the durable log has synced them.
   *
   * @returns ends it; `refused`: how many of the records the log has refused
   */
  append(topic: string, records: number, parent: TraceContext): (refused: number) => void {
    const span = this.#tracer.startSpan(
      spanOperations.append,
      { attributes: { [names.destination]: topic, [names.batchCount]: records, [names.durability]: 'disk' } },
      parent
    )
    return refused => {
      if (refused > 0) {
        span.setAttribute(names.errorType, 'refused')
        span.setStatus({ code: this.#api.SpanStatusCode.ERROR, message: `${refused} records were refused` })
      }
      span.end()
    }
  }

  /** Links to each of the contexts that has a span, once, up to a limit. */
  #linksTo(contexts: Iterable<TraceContext>): Link[] {
    const links = new Map<string, Link>()
    for (const one of contexts) {
      const context = this.#api.trace.getSpanContext(one)
      if (context === undefined || !this.#api.isSpanContextValid(context)) continue
      links.set(context.spanId, { context })
      if (links.size === MAX_LINKS) break
    }
    return [...links.values()]
  }
}

/** The first header of each name counts. */
const headerGetter: TextMapGetter<readonly RecordHeader[]> = {
  keys: headers => headers.map(({ key }) => key),
  get: (headers, name) => headers.find(({ key }) => key.toLowerCase() === name)?.value?.toString()
}

class BatchSpan implements SendSpan {
  readonly #span: Span
  readonly #error: SpanStatusCode.ERROR

  constructor(span: Span, error: SpanStatusCode.ERROR) {
    this.#span = span
    this.#error = error
  }

  delivered(offset: number, attempts: number): void {
    this.#span.setAttribute(names.attempts, attempts)
    if (offset >= 0) this.#span.setAttribute(names.offset, offset)
    this.#span.end()
  }

  failed(code: string, attempts: number): void {
    this.#span.setAttributes({ [names.attempts]: attempts, [names.errorType]: code })
    this.#span.setStatus({ code: this.#error })
    this.#span.end()
  }

  retry(reason: string): void {
    this.#span.addEvent(RETRY_EVENT, { reason })
  }

  replaced(): void {
    this.#span.end()
  }
}

export class RequestSpan implements TraceOfRequest {
  readonly context: TraceContext
  readonly #tracing: Tracing
  readonly #api: TracingApi
  readonly #span: Span

  constructor(tracing: Tracing, api: TracingApi, span: Span, context: TraceContext) {
    this.#tracing = tracing
    this.#api = api
    this.#span = span
    this.context = context
  }

  fields(): Readonly<Record<string, string>> {
    const fields: Record<string, string> = {}
    this.#api.propagation.inject(this.context, fields)
    return fields
  }

  asks(group: string): MessagesGiven {
    return this.#tracing.asks(group, this.context)
  }

  /** @param code why the request failed, as a code of docs/errors.md */
  end(status: number | 'aborted', code?: string): void {
    const span = this.#span
    const isError = status === 'aborted' || status >= SERVER_ERROR
    if (status !== 'aborted') span.setAttribute(names.httpStatus, status)
    if (isError) {
      span.setAttribute(names.errorType, code ?? String(status))
      span.setStatus({ code: this.#api.SpanStatusCode.ERROR })
    }
    span.end()
  }
}

/** The property under which all copies of OpenTelemetry's API share what is registered. */
const REGISTERED = Symbol.for('opentelemetry.js.api.1')

/**
 * The spans of the process. `undefined`: no SDK has registered a tracer; then the API is not even loaded. An SDK that
 * comes later is not noticed.
 *
 * @throws ConfigError when an SDK has registered a tracer, and the API is not installed beside this package
 */
export function registeredTracing(version?: string): Tracing | undefined {
  const registered = (globalThis as { [REGISTERED]?: { readonly trace?: unknown } })[REGISTERED]
  if (registered?.trace === undefined) return undefined
  const api: TracingApi = loadOptional('a registered SDK of OpenTelemetry', '@opentelemetry/api', () =>
    loadPackage('@opentelemetry/api')
  )
  return new Tracing(api, api.trace.getTracer('castellan', version))
}
