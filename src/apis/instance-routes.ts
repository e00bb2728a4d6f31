import { errorCodeOf } from '../core/error-code-of.js'
import type { CastellanError, ErrorCode } from '../core/errors.js'
import type { TopicPartition } from '../core/model.js'
import { NAMELESS, type RecordBudget } from '../core/record-budget.js'
import type { Caller, Operation } from '../http/access/access.js'
import type { ApiContext } from '../http/api/api.js'
import type { ErrorAnswers } from '../http/api/api-answers.js'
import type { DecodedRecords } from '../http/api/decoded-records.js'
import { admits, type EndpointBase, type Params, type Receive, seenBy } from '../http/api/endpoint.js'
import {
  type RecordList,
  type RecordListOptions,
  type UndecodableRecord,
  writeRecordList
} from '../http/api/record-list.js'
import { type Handling, handlingIn, UNDECODABLE_HEADER, type UndecodableRecords } from '../http/api/undecodable.js'
import { browserRefusalOf, clientOf } from '../http/exchange/client.js'
import { type Exchange, hasBody, isEscaped, noteWait, traceOf } from '../http/exchange/exchange.js'
import { holdUntilLeft, whenNext } from '../http/exchange/leaving-records.js'
import type { VerbPath } from '../verbs/facts.js'
import { toError } from '../verbs/offsets.js'
import type {
  InstanceName,
  InstanceRead,
  InstanceReadLimits,
  InstanceRecord,
  InstanceResult,
  InstanceSettings,
  InstanceTopics,
  InstanceVerbs,
  PlainInstanceVerb,
  Verbs
} from '../verbs/verbs.js'

/** Limit for the keys and values of one answer: writing them holds up other requests. The next read has the others. */
export const MAX_READ_BYTES = 4 * 1024 * 1024
/** Kafka's default. */
export const AUTO_COMMIT_MS = 5_000
/** A failed verb that another attempt carries out once gateways and Kafka answer again. */
const UNAVAILABLE: readonly ErrorCode[] = ['clusterChanged', 'overloaded', 'shuttingDown', 'timedOut']
/** The time limit in the texts of errors. */
const TIMEOUT_MS = 10_000

export type InstanceBody = 'noBody' | 'needsBody' | 'mayHaveBody'

/** Work of one route with an instance. Its result is the answer as JSON; `undefined` means 204. */
type InstanceVerb = (ask: InstanceAsk, json: unknown) => Promise<unknown>

/** The part of the routes of consumer instances that differs from API to API. */
export interface InstanceApi {
  readonly name: string
  /** The word of the API for an instance, in texts of errors. */
  readonly noun: string
  /** The names of the parameters of paths. */
  readonly group: string
  readonly instance: string
  readonly parts: EndpointBase & { readonly answers: ErrorAnswers }
  /** Reads the body of a request that has its permission; answers when that fails. */
  withBody(exchange: Exchange, body: InstanceBody, use: (json: unknown) => void): void
  /** Does the work, and answers with its result or its failure. */
  work(exchange: Exchange, work: () => Promise<unknown>): void
  /** Errors by which the API answers. */
  unknown(): Error
  nameTaken(): Error
  illegalState(message: string): Error
  /** A client of a read does not take the format of the instance. */
  otherFormat(format: string): Error
  failed(error: CastellanError): Error
  unavailable(message: string): Error
  forbidden(error: CastellanError): Error
  /** The first record of a read cannot be written in the format of the instance. */
  unreadable(message: string): Error
  /** The code of such an error, where it stands in the place of the record. */
  readonly unreadableCode: number
  /** A header has a wrong value, or the path cannot be decoded. */
  invalid(message: string): Error
}

/** How one read is asked for and written. */
export interface ReadTerms
  extends Pick<InstanceReadLimits, 'timeoutMs' | 'maxBytes' | 'formats'>,
    Pick<RecordListOptions, 'membersOf'> {
  /** Makes the JSON of records with schemas. Absent, or `undefined` for a format: they have none. */
  readonly decode?: (format: string, records: readonly InstanceRecord[]) => Promise<DecodedRecords> | undefined
  readonly illegalState?: InstanceApi['illegalState']
}

/** The verbs about an instance that exists, with the rest of their arguments and what they return. */
type Verb = Exclude<PlainInstanceVerb, 'create'>
type Rest<Name extends Verb> = Parameters<InstanceVerbs[Name]> extends [InstanceName, ...infer More] ? More : never
type DoneBy<Name extends Verb> = Extract<Awaited<ReturnType<InstanceVerbs[Name]>>, { type: 'done' }>['value']

/** A request about one instance. What it fails with are errors of the API. */
export class InstanceAsk {
  readonly exchange: Exchange
  readonly instance: InstanceName
  readonly #api: InstanceApi
  readonly #instances: InstanceVerbs

  constructor(exchange: Exchange, instance: InstanceName, api: InstanceApi, instances: InstanceVerbs) {
    this.exchange = exchange
    this.instance = instance
    this.#api = api
    this.#instances = instances
  }

  get caller(): Caller {
    return this.#api.parts.access.callerOf(this.exchange.request)
  }

  async does<Name extends Verb>(verb: Name, ...rest: Rest<Name>): Promise<DoneBy<Name>> {
    return this.done((await this.result(verb, ...rest)) as InstanceResult<DoneBy<Name>>)
  }

  result<Name extends Verb>(verb: Name, ...rest: Rest<Name>): ReturnType<InstanceVerbs[Name]> {
    const carryOut = this.#instances[verb] as (instance: InstanceName, ...rest: unknown[]) => never
    return carryOut.call(this.#instances, this.instance, ...rest)
  }

  /** Replaces the subscription, within what the client may read. */
  async subscribe(to: InstanceTopics, illegalState?: InstanceApi['illegalState']): Promise<void> {
    const { caller } = this
    const { groupId: group } = this.instance
    let topics = to
    if ('topics' in to) this.require(to.topics)
    else if (caller.isRuled) {
      const isVisible = seenBy(caller, 'instances.subscribe', 'topic+group')
      topics = { ...to, includes: topic => isVisible({ topic, group }) }
    }
    this.done(await this.#instances.subscribe(this.instance, topics), illegalState)
  }

  async assign(partitions: readonly TopicPartition[], illegalState?: InstanceApi['illegalState']): Promise<void> {
    this.require(topicNamesOf(partitions))
    this.done(await this.result('assign', partitions), illegalState)
  }

  read(limits: InstanceReadLimits): Promise<InstanceResult<InstanceRead>> {
    return this.#instances.read(this.instance, limits)
  }

  /** @throws the error for a topic that the client may not read */
  require(topics: Iterable<string>, operation: Operation = 'consume'): void {
    for (const topic of new Set(topics)) {
      const refusal = this.caller.refusalOf(operation, { topic, group: this.instance.groupId })
      if (refusal !== undefined) throw this.#api.forbidden(refusal)
    }
  }

  /** @throws the error for a topic that the instance reads, and the client may not */
  async requireTopics(): Promise<void> {
    if (!this.caller.isRuled) return
    const { subscription, assignment } = await this.does('describe')
    this.require([...subscription, ...topicNamesOf(assignment)])
  }

  /** The value of a result. @throws the error of the API for any other */
  done<Value>(result: InstanceResult<Value>, illegalState = this.#api.illegalState): Value {
    switch (result.type) {
      case 'done':
        return result.value
      case 'unknownInstance':
        throw this.#api.unknown()
      case 'illegalState':
        throw illegalState(result.message)
      case 'otherFormat':
        throw this.#api.otherFormat(result.format)
      default: {
        const error = toError(result, `the request to the ${this.#api.noun}`, TIMEOUT_MS)
        throw UNAVAILABLE.includes(errorCodeOf(error)) ? this.#api.unavailable(error.message) : this.#api.failed(error)
      }
    }
  }
}

/** The routes of consumer instances, for any API. */
export class InstanceRoutes {
  readonly #api: InstanceApi
  readonly #verbs: Verbs
  readonly #undecodable: UndecodableRecords
  readonly #records: RecordBudget
  readonly #reads = new Set<AbortController>()

  constructor(api: InstanceApi, context: ApiContext<unknown>) {
    const { verbs, undecodable, records } = context
    this.#api = api
    this.#verbs = verbs
    this.#undecodable = undecodable
    this.#records = records
    undecodable.prepare(api.name)
  }

  /** Ends all reads: the process stops. */
  stop(): void {
    for (const read of this.#reads) read.abort()
  }

  /**
   * The handler of a route of one instance.
   *
   * @param path of the verb
   * @param rights `ofInstance`: the client needs those to all topics that the instance reads; `ofRequest`: the verb asks for
   *   those to the topics that the request names
   */
  verb(
    path: VerbPath,
    body: InstanceBody,
    verb: InstanceVerb,
    rights: 'ofInstance' | 'ofRequest' = 'ofInstance'
  ): Receive {
    return (exchange, params) => {
      const ask = this.#ask(exchange, params)
      this.#whenAdmitted(path, ask, body, json =>
        this.#api.work(exchange, async () => {
          if (rights === 'ofInstance') await ask.requireTopics()
          return verb(ask, json)
        })
      )
    }
  }

  /**
   * The handler of the route that creates an instance.
   *
   * @param wantedIn reads the body
   * @param uriOf its result is the address of the instance
   */
  creates(
    wantedIn: (json: unknown, groupId: string) => { readonly name: string; readonly settings: InstanceSettings },
    uriOf: (exchange: Exchange, groupId: string, name: string) => string
  ): Receive {
    return (exchange, params) => {
      const ofGroup = this.#ask(exchange, params)
      const { groupId } = ofGroup.instance
      this.#whenAdmitted('instances.create', ofGroup, 'mayHaveBody', json => {
        const { name, settings } = wantedIn(json, groupId)
        this.#api.work(exchange, async () => {
          // The group would get the name as it was sent.
          if (isEscaped(exchange.request)) throw this.#api.invalid('the path is not percent-encoded UTF-8')
          const client = clientOf(exchange.request, ofGroup.caller)
          const instance = { ...ofGroup.instance, name }
          const isNew = ofGroup.done(await this.#verbs.instances.create(instance, settings, client))
          if (!isNew) throw this.#api.nameTaken()
          return { instance_id: name, base_uri: uriOf(exchange, groupId, name) }
        })
      })
    }
  }

  /**
   * The handler of the route that reads.
   *
   * @param optionsOf may throw
   * @param typeOf the content type of a format
   * @param toError of what the read has failed with
   */
  reads(
    optionsOf: (exchange: Exchange) => ReadTerms,
    typeOf: (format: string) => string,
    toError = (error: unknown, _: Exchange): unknown => error
  ): Receive {
    const read = async (ask: InstanceAsk): Promise<void> => {
      const { exchange } = ask
      const read = await this.#read(ask, optionsOf(exchange))
      if (read === undefined) return
      const { format, body, held, bytes } = read
      holdUntilLeft(exchange.response, this.#records, held, bytes)
      this.#api.parts.answers.send(exchange, 200, typeOf(format), body, { held })
    }
    return (exchange, params) => {
      const ask = this.#ask(exchange, params)
      const { parts } = this.#api
      const refusal = browserRefusalOf(exchange.request)
      if (refusal !== undefined) parts.answers.fail(exchange, refusal, !hasBody(exchange))
      else if (admits(parts, exchange, 'instances.read', { group: ask.instance.groupId }))
        whenNext(exchange.response, () =>
          read(ask).catch(error => parts.answers.fail(exchange, toError(error, exchange)))
        )
    }
  }

  #ask(exchange: Exchange, params: Params): InstanceAsk {
    const { group, instance, name: api, parts } = this.#api
    const { principal } = parts.access.callerOf(exchange.request)
    const isWanted = (): boolean => !exchange.response.destroyed
    const name = { groupId: params[group] ?? '', name: params[instance] ?? '', principal, api, isWanted }
    return new InstanceAsk(exchange, name, this.#api, this.#verbs.instances)
  }

  #whenAdmitted(
    verb: VerbPath,
    { exchange, instance }: InstanceAsk,
    body: InstanceBody,
    use: (json: unknown) => void
  ): void {
    if (admits(this.#api.parts, exchange, verb, { group: instance.groupId })) this.#api.withBody(exchange, body, use)
  }

  /**
   * Reads records, which are accepted when the whole answer was sent.
   *
   * @returns the records as JSON, the format of the instance, the bytes of the records, and the hold on the memory that
   *   the JSON takes besides them; `undefined`: the client has left
   */
  async #read(ask: InstanceAsk, options: ReadTerms) {
    const { request, response } = ask.exchange
    const handling = handlingIn(request.headers[UNDECODABLE_HEADER])
    if (handling === undefined) throw this.#api.invalid(`${UNDECODABLE_HEADER}: expected fail, skip or include`)
    const client = clientOf(request, ask.caller) ?? NAMELESS
    const gone = new AbortController()
    this.#reads.add(gone)
    let read: InstanceRead | undefined
    let count = 0
    const settle = (): void => {
      read?.settle(response.writableFinished ? count : 0)
      read = undefined
    }
    response.once('close', () => {
      gone.abort()
      settle()
    })
    try {
      const { timeoutMs, maxBytes, formats } = options
      noteWait(request, timeoutMs ?? 0)
      const given = traceOf(request)?.asks(ask.instance.groupId)
      const limits = { timeoutMs, maxBytes, formats, client, gone: gone.signal }
      read = ask.done(await ask.read(limits), options.illegalState)
      given?.(read.records)
    } finally {
      this.#reads.delete(gone)
    }
    if (response.destroyed) {
      settle()
      return undefined
    }
    const { records, format, waitMs } = read
    if (options.timeoutMs === undefined) noteWait(request, waitMs ?? 0)
    // The instance may belong to a client that may read more than this one.
    ask.require(topicNamesOf(records))
    const decoded = (await options.decode?.(format, records)) ?? { records, causes: undefined }
    if (response.destroyed) return undefined
    const { membersOf } = options
    const written = this.#write(ask, decoded.records, format, handling, { membersOf, causes: decoded.causes })
    count = written.count
    const { body, bytes } = written
    // The records themselves are held until the read is settled.
    const isMade = decoded.records !== records
    return { body, format, bytes, held: this.#records.hold(isMade ? body.length : 0, client) }
  }

  /** @throws the error for a first record that cannot be written */
  #write(
    { caller, instance }: InstanceAsk,
    records: readonly InstanceRecord[],
    format: string,
    handling: Handling,
    options: RecordListOptions
  ): RecordList {
    const note = ({ record, cause }: UndecodableRecord): void =>
      this.#undecodable.note(this.#api.name, instance.groupId, record, handling, cause)
    const written = writeRecordList(records, format === 'binary' || format === 'text' ? format : 'json', {
      ...options,
      insteadOf: undecodable => {
        if (handling === 'fail') return undefined
        note(undecodable)
        if (handling === 'skip') return ''
        return `,"error_code":${this.#api.unreadableCode},"error":${JSON.stringify(textOfUndecodable(undecodable))}`
      }
    })
    caller.spend(written.count, written.bytes)
    if (written.count === 0 && written.poison !== undefined) {
      note(written.poison)
      throw this.#api.unreadable(
        `${textOfUndecodable(written.poison)}; to go on, seek behind it, or read with the header ${UNDECODABLE_HEADER}: skip or include`
      )
    }
    return written
  }
}

const textOfUndecodable = ({ record: { topic, partition, offset }, cause }: UndecodableRecord): string =>
  `the record at offset ${offset} of ${topic}/${partition} ${cause}`

export const queryOf = (url: string): URLSearchParams => new URLSearchParams(url.split('?', 2)[1] ?? '')

export const topicNamesOf = (places: readonly { readonly topic: string }[]): string[] =>
  places.map(({ topic }) => topic)
