import type { CastellanError, ErrorCode } from '../../core/errors.js'
import type {
  Gateway,
  InstanceName,
  InstanceRead,
  InstanceReadLimits,
  InstanceRecord,
  InstanceResult,
  InstanceSettings,
  InstanceTopics
} from '../../gateway/gateway.js'
import { toError } from '../../gateway/offsets.js'
import type { Access, Caller, Operation } from '../access/access.js'
import { clientOf } from '../exchange/client.js'
import { type Exchange, traceOf } from '../exchange/exchange.js'
import type { DecodedRecords } from './decoded-records.js'
import type { Params, Receive } from './endpoint.js'
import { type RecordListOptions, type UndecodableRecord, writeRecordList } from './record-list.js'
import { handlingIn, UNDECODABLE_HEADER, type UndecodableRecords } from './undecodable.js'

/** Limit for the keys and values of one answer: writing them holds up other requests. The next read has the others. */
export const MAX_READ_BYTES = 4 * 1024 * 1024
/** A failed verb that another attempt carries out once gateways and Kafka answer again. */
const UNAVAILABLE: readonly ErrorCode[] = ['clusterChanged', 'overloaded', 'shuttingDown', 'timedOut']
/** The time limit in the texts of errors. */
const TIMEOUT_MS = 10_000

/** Whether a route has a body. */
export type InstanceBody = 'noBody' | 'needsBody' | 'mayHaveBody'

/** What one route does with an instance; the result is the answer as JSON, `undefined` 204. */
type InstanceVerb = (instance: InstanceName, json: unknown, exchange: Exchange) => Promise<unknown>

/** The part of the routes of consumer instances that differs from API to API. */
export interface InstanceApi {
  /** The name of the API in the settings of instances. */
  readonly name: string
  /** The word of the API for an instance, in texts of errors. */
  readonly noun: string
  /** The names of the parameters of paths. */
  readonly group: string
  readonly instance: string
  /** Asks for permission to read with the group, then reads the body; answers when one of them fails. */
  withBody(exchange: Exchange, groupId: string, body: InstanceBody, use: (json: unknown) => void): void
  /** Does the work, and answers with its result or its failure. */
  work(exchange: Exchange, work: () => Promise<unknown>): void
  /** Errors by which the API answers. */
  unknown(): Error
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
  /** A header has a wrong value. */
  invalid(message: string): Error
}

/** How one read is asked for and written. */
interface ReadOptions
  extends Pick<InstanceReadLimits, 'timeoutMs' | 'maxBytes' | 'formats'>,
    Pick<RecordListOptions, 'membersOf'> {
  /** Makes the JSON of records with schemas. Absent, or `undefined` for a format: they have none. */
  readonly decode?: (format: string, records: readonly InstanceRecord[]) => Promise<DecodedRecords> | undefined
  readonly illegalState?: InstanceApi['illegalState']
}

interface WrittenRead {
  readonly body: Buffer
  readonly format: string
}

/** The routes of consumer instances, for any API. */
export class InstanceRoutes {
  readonly #api: InstanceApi
  readonly #gateway: Pick<Gateway, 'instances'>
  readonly #access: Access
  readonly #undecodable: UndecodableRecords
  /** Aborts the reads that are open. */
  readonly #reads = new Set<AbortController>()

  constructor(api: InstanceApi, gateway: Pick<Gateway, 'instances'>, access: Access, undecodable: UndecodableRecords) {
    this.#api = api
    this.#gateway = gateway
    this.#access = access
    this.#undecodable = undecodable
    undecodable.prepare(api.name)
  }

  /** Ends all reads: the process stops. */
  stop(): void {
    for (const read of this.#reads) read.abort()
  }

  /**
   * The handler of a route of one instance.
   *
   * @param rights `ofInstance`: the client needs those to all topics that the instance reads; `ofRequest`: the verb asks for
   *   those to the topics that the request names
   */
  verb(body: InstanceBody, verb: InstanceVerb, rights: 'ofInstance' | 'ofRequest' = 'ofInstance'): Receive {
    return (exchange, params) => {
      const instance = this.named(exchange, params)
      this.#api.withBody(exchange, instance.groupId, body, json =>
        this.#api.work(exchange, async () => {
          if (rights === 'ofInstance') await this.#requireTopicsOf(exchange, instance)
          return verb(instance, json, exchange)
        })
      )
    }
  }

  named({ request }: Exchange, params: Params): InstanceName {
    const { group, instance } = this.#api
    const { principal } = this.#access.callerOf(request)
    return { groupId: params[group] ?? '', name: params[instance] ?? '', principal, api: this.#api.name }
  }

  /** @returns false: the group has an instance of this name */
  async create(exchange: Exchange, instance: InstanceName, settings: InstanceSettings): Promise<boolean> {
    const client = clientOf(exchange.request, this.#callerOf(exchange))
    return this.done(await this.#gateway.instances.create(instance, settings, client))
  }

  /** Replaces the subscription, within what the client may read. */
  async subscribe(
    exchange: Exchange,
    instance: InstanceName,
    to: InstanceTopics,
    illegalState?: InstanceApi['illegalState']
  ): Promise<void> {
    const caller = this.#callerOf(exchange)
    const { groupId: group } = instance
    let topics = to
    if ('topics' in to) this.require(exchange, instance, to.topics)
    else if (caller.isRuled) topics = { ...to, includes: topic => caller.allows('consume', { topic, group }) }
    this.done(await this.#gateway.instances.subscribe(instance, topics), illegalState)
  }

  /** @throws the error for a topic that the client may not read */
  require(exchange: Exchange, { groupId: group }: InstanceName, topics: Iterable<string>, operation?: Operation): void {
    const caller = this.#callerOf(exchange)
    for (const topic of new Set(topics)) {
      const refusal = caller.refusalOf(operation ?? 'consume', { topic, group })
      if (refusal !== undefined) throw this.#api.forbidden(refusal)
    }
  }

  /**
   * @returns the records as JSON, and the format of the instance; `undefined`: the client has left. The records are accepted
   *   when the whole answer was sent
   */
  async read(exchange: Exchange, instance: InstanceName, options: ReadOptions): Promise<WrittenRead | undefined> {
    const { request, response } = exchange
    const handling = handlingIn(request.headers[UNDECODABLE_HEADER])
    if (handling === undefined) throw this.#api.invalid(`${UNDECODABLE_HEADER}: expected fail, skip or include`)
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
      const limits = { timeoutMs, maxBytes, formats, gone: gone.signal, trace: traceOf(request) }
      read = this.done(await this.#gateway.instances.read(instance, limits), options.illegalState)
    } finally {
      this.#reads.delete(gone)
    }
    if (response.destroyed) {
      settle()
      return undefined
    }
    const { records, format } = read
    // The instance may belong to a client that may read more than this one.
    this.require(exchange, instance, topicNamesOf(records))
    const { causes, ...decoded } = (await options.decode?.(format, records)) ?? { records }
    if (response.destroyed) return undefined
    const note = ({ record, cause }: UndecodableRecord): void =>
      this.#undecodable.note(this.#api.name, instance.groupId, record, handling, cause)
    const written = writeRecordList(decoded.records, format === 'binary' || format === 'text' ? format : 'json', {
      membersOf: options.membersOf,
      causes,
      insteadOf: undecodable => {
        if (handling === 'fail') return undefined
        note(undecodable)
        if (handling === 'skip') return ''
        return `,"error_code":${this.#api.unreadableCode},"error":${JSON.stringify(messageOf(undecodable))}`
      }
    })
    this.#callerOf(exchange).charge(written.count, written.bytes)
    if (written.count === 0 && written.poison !== undefined) {
      note(written.poison)
      throw this.#api.unreadable(
        `${messageOf(written.poison)}; to go on, seek behind it, or read with the header ${UNDECODABLE_HEADER}: skip or include`
      )
    }
    count = written.count
    return { body: written.body, format }
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
        throw UNAVAILABLE.includes(error.code) ? this.#api.unavailable(error.message) : this.#api.failed(error)
      }
    }
  }

  /** @throws the error for a topic that the instance reads, and the client may not */
  async #requireTopicsOf(exchange: Exchange, instance: InstanceName): Promise<void> {
    if (!this.#callerOf(exchange).isRuled) return
    const { subscription, assignment } = this.done(await this.#gateway.instances.describe(instance))
    this.require(exchange, instance, [...subscription, ...assignment.map(({ topic }) => topic)])
  }

  #callerOf({ request }: Exchange): Caller {
    return this.#access.callerOf(request)
  }
}

const messageOf = ({ record: { topic, partition, offset }, cause }: UndecodableRecord): string =>
  `the record at offset ${offset} of ${topic}/${partition} ${cause}`

/** The query of a request. */
export const queryOf = (url: string): URLSearchParams => new URLSearchParams(url.split('?', 2)[1] ?? '')

export const topicNamesOf = (places: readonly { readonly topic: string }[]): string[] =>
  places.map(({ topic }) => topic)
