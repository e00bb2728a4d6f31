import type { TlsOptions, Server as TlsServer } from 'node:tls'
import type { FastifyInstance } from 'fastify'
import { z } from 'zod'
import { MIB } from '../../core/bytes.js'
import type { LoopTurns } from '../../core/loop-turns.js'
import type { PrometheusMetrics } from '../../core/metrics/prometheus.js'
import type { StatsdSources } from '../../core/metrics/statsd.js'
import type { Logger, MonotonicClock } from '../../core/model.js'
import type { RecordBudget } from '../../core/record-budget.js'
import { bytes, host, listenPort, milliseconds } from '../../core/settings/units.js'
import type { Tracing } from '../../core/tracing/tracing.js'
import type { Schemas } from '../../schemas/schemas.js'
import type { Durability, Verbs } from '../../verbs/verbs.js'
import type { Access } from '../access/access.js'
import type { SilenceLimit } from '../engine/silence-limit.js'
import type { Admission } from '../exchange/admission.js'
import type { CountedCalls } from '../exchange/other-protocols.js'
import type { Operation } from '../openapi/operation.js'
import type { OnRead, RecordAsker, RecordQuestion } from '../status/record-question.js'
import type { FoundApart, TroubleApart } from '../status/words-apart.js'
import type { Idempotency } from './idempotency.js'
import type { RefusedRecordCounts } from './refused-records.js'
import type { UndecodableRecords } from './undecodable.js'

/** Parts that all APIs of a process share. A new one is added here, and where server/app/app.ts makes them. */
export interface SharedByApis {
  /** The verbs of the cluster `default`. */
  readonly verbs: Verbs
  /** Lets produce requests wait while the buffer of records is full; absent: they do not wait. */
  readonly admission?: Admission | undefined
  /** Lets requests to produce have keys. Absent: the header `Idempotency-Key` is ignored. */
  readonly idempotency?: Idempotency | undefined
  /** The same for requests whose records are kept on disk. */
  readonly diskAdmission?: Admission | undefined
  /** Writes and reads records with schemas. Absent: no schema registry is configured. */
  readonly schemas?: Schemas | undefined
  readonly version?: string | undefined
  /** Addresses and networks of proxies that may say how clients reach them (`http.trustedProxies`); for Strimzi's bridge alone. */
  readonly trustedProxies?: readonly string[] | undefined
  /** How long a request waits for a message of a consumer group unless it names a time (`consumer.longPollMs`), in milliseconds. */
  readonly longPollMs: number
  /** The bytes of records that the process holds for answers. */
  readonly records: RecordBudget
  /** The longest lock that a client may ask for (`queues.maxLockMs`), in milliseconds; for queues alone. */
  readonly maxLockMs: number
  /** The verbs of each cluster of the configuration, by its name. */
  readonly verbsByCluster: ReadonlyMap<string, Verbs>
  /** Parts for listeners of other protocols; used by Kafka-Pixy's gRPC alone. */
  readonly otherProtocols: OtherProtocols
  readonly forMcp: ForMcp
  /** Gives the caller of a request; every API asks it for permission to use topics and groups. */
  readonly access: Access
  readonly log: Logger
  readonly metrics: PrometheusMetrics
  readonly refused: RefusedRecordCounts
  readonly undecodable: UndecodableRecords
  /** Turns of all long requests of the process. */
  readonly turns: LoopTurns
  /** Epoch milliseconds. */
  readonly now: () => number
  /** Clock for durations: the system clock may be set back. */
  readonly clock: MonotonicClock
  /** The API adds sources here for what it reports by StatsD under names of its own. */
  readonly statsd: StatsdSources
}

/** Facts about the whole process, for MCP alone. */
export interface ForMcp {
  /** The issuers of tokens that clients may have. */
  readonly issuers: readonly string[]
  /** Looks for a record, on behalf of a client who may read its topic. */
  readonly findRecord?:
    | ((question: RecordQuestion, asker: RecordAsker, onRead: OnRead) => Promise<FoundApart>)
    | undefined
  /** Present troubles of the gateway. Absent: it has no status, as in tests of the API alone. */
  readonly trouble?: (() => Promise<readonly TroubleApart[]>) | undefined
}

export interface ApiContext<Settings> extends SharedByApis {
  readonly settings: Settings
  /** Compressed bodies are decoded, also where the original keeps them (`http.decodedApis`). */
  readonly decodesBodies?: boolean | undefined
  readonly lifetime: Lifetime
  /** Set by the API: time limits for silent clients. */
  readonly silence: SilenceLimit
}

/** Parts for a listener that an API opens by itself, with another protocol than HTTP/1.1. */
export interface OtherProtocols {
  /** Counts the calls. */
  readonly calls: CountedCalls
  /** Metadata of calls that becomes headers of records (`http.recordHeaders`); listeners of HTTP read those by themselves. */
  readonly recordHeaders?: readonly string[] | undefined
  /** TLS of the shared port; absent: `http.tls` is not set. */
  readonly tls?: SharedTls | undefined
  /** Records spans of calls. Absent: nothing does. */
  readonly tracing?: Tracing | undefined
}

export interface SharedTls {
  readonly options: TlsOptions
  serve(server: TlsServer): void
}

/** Requests that look up topics, offsets, groups and the like are answered within this. */
export const LOOK_UP_TIMEOUT_MS = 10_000
/**
 * Requests to one API that look something up or change it, and that are open at the same time; one client has about half of
 * them. An answer about thousands of topics takes milliseconds and a megabyte, so more of them would delay everything else.
 */
export const MAX_LOOK_UPS = 200

/** The admission in which requests with this durability wait. */
export const admissionOf = (
  { admission, diskAdmission }: ApiContext<unknown>,
  durability: Durability
): Admission | undefined => (durability === 'disk' ? diskAdmission : admission)

/** Time limit for records in memory whose partition is full: the same as for waiting requests. */
export const capacityWaitMsOf = ({ admission }: ApiContext<unknown>): number => admission?.waitMs ?? 0

/**
 * The process calls an API three times when it stops. Each call has a time limit; a failed call affects no other API.
 */
export interface Lifetime {
  /**
   * New requests are refused, and those in progress are being finished: the API ends what would not end by itself,
   * such as websockets and long polls. All APIs and listeners are called at the same time.
   */
  onDrain(step: LifetimeStep): void
  /**
   * Every request has its answer, but for those that wait for Kafka. It can still be used: to leave groups, commit offsets and
   * write pending records.
   */
  onStop(step: LifetimeStep): void
  /** Every record has its outcome, and every request its answer: the API cuts its own connections that are left. */
  onCut(step: LifetimeStep): void
}

/** @param remainingMs time limit of the step */
export type LifetimeStep = (remainingMs: number) => Promise<unknown>

/**
 * One compatible HTTP API, as the rest of the process knows it: configuration, listeners, start, help and tests
 * iterate the list in apis.ts. A new API is its own folder, a line there, and its page in docs/compatibility/.
 */
export interface HttpApi<Settings extends ApiSettings = ApiSettings, Name extends string = string> {
  readonly name: Name
  /** One line: what the imitated system is. */
  readonly about: string
  /** The imitated API, and the exact version of its documents and source that is followed. */
  readonly source: string
  readonly prefix: string
  /** `all`: its requests can name a cluster of the configuration. Absent: all of them go to `default`. */
  readonly clusters?: 'all'
  /** Schema of the API's section in `apis`: {@link commonSettings} and settings of its own, with defaults for everything. */
  readonly settings: z.ZodType<Settings>
  /**
   * Shell commands that try it, given a URL that ends in its prefix: printed at start, and shown at `/`. They write to the topic orders.
   */
  tryIt(url: string): readonly string[]
  /** Shell commands that read what was written; absent: the API writes only, or reading takes several requests. */
  readIt?(url: string): readonly string[]
  /**
   * Finds problems between its settings that are valid one by one; each line begins with the name of a setting of its
   * section.
   */
  check?(settings: Settings): readonly string[]
  /** Listeners besides the shared port and the API's own port. */
  listeners?(settings: Settings, shared: { readonly host: string }): readonly OwnListener[]
  /** Addresses of protocols other than HTTP, on which it listens by itself; absent ones are loopback. */
  hosts?(settings: Settings): readonly OwnHost[]
  /** The API is on with the embedded broker and off without, unless a setting says otherwise. Absent: see its schema. */
  readonly isOnWithEmbedded?: true
  /** Requests need a known `Host` on every listener, so that no page of another site can read the answers. */
  readonly needsHost?: true
  /** Documents in JSON at the root of the shared port, for which clients need no credentials. */
  documents?(context: ApiContext<Settings>): readonly OpenDocument[]
  operations(settings: Settings): readonly Operation[]
  /**
   * Loads the routes with all that they need: their module, packages, and files that settings name. Commands without HTTP do not
   * need these. Awaited before the shared port opens.
   */
  plugin(context: ApiContext<Settings>): Promise<ApiPlugin>
}

/**
 * Adds the routes of an API to its scope. Parsers, error handler and 404 stay inside. It sets the error handler before
 * it awaits anything: Fastify gives a route the handler that its scope has in the turn in which the route is added.
 */
export type ApiPlugin = (app: FastifyInstance) => void | Promise<void>

/** A document that needs no credentials. */
export interface OpenDocument {
  readonly path: string
  readonly document: object
}

/** An address on which an API listens by itself. */
export interface OwnHost {
  /** Names the setting where the address is refused. */
  readonly setting: string
  readonly host: string
  /** Whether it speaks TLS when the shared port does. */
  readonly tls: boolean
}

/** A listener that serves one API only. */
export interface OwnListener {
  /** Distinguishes the listeners of the process: `kprf`, `kprf metrics`. */
  readonly label: string
  /** Prepended to the paths of its requests: with `/kprf`, `/push` here is `/kprf/push` on the shared port. */
  readonly prefix: string
  /**
   * `setting` is named when the address cannot be used, `portSetting` when it is the port; `mode` is in octal digits.
   */
  readonly address:
    | { readonly host: string; readonly port: number; readonly setting: string; readonly portSetting?: string }
    | { readonly unixSocket: string; readonly mode: string; readonly setting: string }
  /** Whether it speaks TLS when the shared port does. */
  readonly tls: boolean
  /** Operations in the API's `/openapi.json`. Absent: all operations of the API. */
  readonly operations?: readonly Operation[]
}

/**
 * Limit of the records in one body. A record counts as 256 bytes at least; all records together count at most 16 MiB,
 * whatever the limit of the body is.
 */
export const MAX_RECORDS_OF_BODY = (16 * MIB) / 256

/** The settings that every API has, to be spread into its section. */
export const commonSettings = (maxBodyBytes: number) => ({
  enabled: z.boolean().default(true).describe('Serves this API'),
  host: host.optional().describe("Listening address of the API's own port; absent: that of `http.host`"),
  port: listenPort
    .optional()
    .describe('A port of its own, without the prefix of the API; 0: any free one. Absent: none'),
  tls: z
    .enum(['inherit', 'off'])
    .default('inherit')
    .describe('TLS of this port: `inherit` as in `http.tls`, `off` for clients without TLS'),
  maxBodyBytes: bytes
    .default(maxBodyBytes)
    .describe(
      'One request body; more is answered 413, by kafboy 400 `{"error":"no_body"}`. Arion only counts the bytes beyond `maxMessageBytes`'
    )
})

/** Setting of the place where records are kept when their request is answered before Kafka has them. */
export const durability = (original: 'memory' | 'disk') =>
  z
    .enum(['memory', 'disk'])
    .default(original)
    .describe(
      'Where a record is kept until Kafka has it when its request does not wait for Kafka: `disk` answers when the durable log has synced it, and delivers it after a crash, too; `memory` loses it with the process'
    )

/** The outcome of an asynchronous record that finds the buffer full. */
export const whenFull = z
  .enum(['refuse', 'drop'])
  .default('refuse')
  .describe(
    'If an asynchronous record finds the buffer full: `refuse` says so (kprf 500, kafboy 503), `drop` answers as if it was taken and loses it, as the originals do'
  )

/** How long a record in memory is tried whose request does not wait for Kafka, where `delivery.timeoutMs` is not less. */
export const ASYNC_TIMEOUT_MS = 120_000

export const syncTimeoutMs = (timeoutMs: number) =>
  milliseconds
    .default(timeoutMs)
    .describe('A synchronous request is answered within this; what has not been delivered then has failed')

/** The settings of an API as the app, the checks and the listeners use them. */
export type ApiSettings = z.output<z.ZodObject<ReturnType<typeof commonSettings>>>
