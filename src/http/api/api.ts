import type { TlsOptions, Server as TlsServer } from 'node:tls'
import type { FastifyInstance } from 'fastify'
import type { z } from 'zod'
import type { PrometheusMetrics } from '../../core/metrics/prometheus.js'
import type { StatsdSources } from '../../core/metrics/statsd/statsd-reporter.js'
import type { Logger, MonotonicClock } from '../../core/model.js'
import type { Assignment } from '../../core/settings/assignment.js'
import type { Durability, Gateway } from '../../gateway/gateway.js'
import type { Access } from '../access/access.js'
import type { Admission } from '../exchange/admission.js'
import type { CountedCalls } from '../exchange/counted-calls.js'
import type { SilenceLimit } from '../exchange/silence.js'
import type { Operation } from '../openapi/operation.js'
import type { ApiSettings } from './common-settings.js'

/** What every API is created with. */
export interface ApiContext<Settings> {
  /** The gateway of the cluster `default`. */
  readonly gateway: Gateway
  /** Where produce requests wait while `gateway` has no room for more records; absent: they do not wait. */
  readonly admission?: Admission | undefined
  /** The same for records that are kept on disk: where they wait for it. */
  readonly diskAdmission?: Admission | undefined
  /** The gateways of all clusters of the configuration, by name. */
  readonly gateways: ReadonlyMap<string, Gateway>
  /** Where calls are counted that come over a listener of the API's own, by another protocol than HTTP/1.1. */
  readonly calls: CountedCalls
  /** Gives the caller of a request; every API asks it for permission to use topics and groups. */
  readonly access: Access
  readonly settings: Settings
  readonly log: Logger
  readonly metrics: PrometheusMetrics
  /** Epoch milliseconds. */
  readonly now: () => number
  /** For durations: the other one may be set back. */
  readonly clock: MonotonicClock
  readonly lifetime: Lifetime
  /** Where the API adds what it reports by StatsD under names of its own. */
  readonly statsd: StatsdSources
  /** TLS of the shared port, for a listener that the API opens by itself; absent: `http.tls` is not set. */
  readonly tls?: SharedTls | undefined
  /** Set by the API: time limits for silent clients. */
  readonly silence: SilenceLimit
  /**
   * Asks what the API has once for several processes ({@link HttpApi.shared}). Absent: this process is the only one.
   *
   * @throws Error when there is no answer
   */
  readonly shared?: ((question: unknown) => Promise<unknown>) | undefined
  /**
   * Tells the other processes what this one has, and asks what all have, those that do not answer in time left out. Absent:
   * this process is the only one.
   */
  readonly everywhere?: Everywhere | undefined
}

/** Certificate, key and authorities of the shared port. */
export interface SharedTls {
  /** To create a server with. */
  readonly options: TlsOptions
  /** Keeps the certificate of a server up to date. */
  serve(server: TlsServer): void
}

/** @param name of what is told, the same in all processes; an API tells each once */
export type Everywhere = <Value>(name: string, own: () => Value) => () => Promise<readonly Value[]>

/** Where requests wait whose records are kept so. */
export const admissionOf = (
  { admission, diskAdmission }: Pick<ApiContext<unknown>, 'admission' | 'diskAdmission'>,
  durability: Durability
): Admission | undefined => (durability === 'disk' ? diskAdmission : admission)

/** How long records in memory wait for room where the producer of their partition is full: as long as requests do. */
export const capacityWaitMsOf = ({ admission }: Pick<ApiContext<unknown>, 'admission'>): number =>
  admission?.waitMs ?? 0

/**
 * An API is told twice when the process stops. Both steps have a time limit; a step that fails affects no other
 * API.
 */
export interface Lifetime {
  /**
   * New requests are refused, and those in progress are being finished: the API ends what would not end by itself,
   * such as websockets and long polls. All APIs and listeners are told at the same time.
   */
  onDrain(step: LifetimeStep): void
  /**
   * Every request has its answer, and Kafka can still be used: to leave groups, commit offsets and write pending
   * records.
   */
  onStop(step: LifetimeStep): void
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
  /** Its prefix on the shared port. */
  readonly prefix: string
  /** `all`: its requests can name a cluster of the configuration. Absent: all of them go to `default`. */
  readonly clusters?: 'all'
  /** Its section in `apis` of the configuration: {@link commonSettings} and its own, with defaults for everything. */
  readonly settings: z.ZodType<Settings>
  /**
   * Shell commands that try it, given a URL that ends in its prefix: printed at start, and shown in its documentation.
   */
  tryIt(url: string): readonly string[]
  /**
   * Finds problems between its settings that are valid one by one; each line begins with the name of a setting of its
   * section.
   */
  check?(settings: Settings): readonly string[]
  /**
   * Settings of any section that settings of its own section stand for, such as those in the words of the imitated
   * system. The same settings from any other source win over them.
   *
   * @param originOf where a setting comes from; the path begins in its section
   */
  implied?(settings: Settings, originOf: (path: readonly string[]) => string): readonly Assignment[]
  /** Listeners besides the shared port and the API's own port. */
  listeners?(settings: Settings, shared: { readonly host: string }): readonly OwnListener[]
  /** Addresses of protocols other than HTTP, on which it listens by itself; absent ones are loopback. */
  hosts?(settings: Settings): readonly OwnHost[]
  /**
   * What has to be there once when several processes serve, such as a limit that holds for all of them together: it answers
   * what the processes ask.
   */
  shared?(settings: Settings): (question: unknown) => unknown
  /** Its operations, for `/openapi.json`. */
  operations(settings: Settings): readonly Operation[]
  /**
   * Loads what its routes need: their module, which commands without HTTP can do without, packages, and files that
   * settings name. It is awaited before the shared port opens.
   */
  plugin(context: ApiContext<Settings>): Promise<ApiPlugin>
}

/**
 * Adds the routes of an API to its scope. Parsers, error handler and 404 stay inside. It sets the error handler before
 * it awaits anything: Fastify gives a route the handler that its scope has in the turn in which the route is added.
 */
export type ApiPlugin = (app: FastifyInstance) => void | Promise<void>

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
  /** `setting` is named when the address cannot be used, `portSetting` when it is the port; `mode` is in octal digits. */
  readonly address:
    | { readonly host: string; readonly port: number; readonly setting: string; readonly portSetting?: string }
    | { readonly unixSocket: string; readonly mode: string; readonly setting: string }
  /** Whether it speaks TLS when the shared port does. */
  readonly tls: boolean
  /** What it serves, for its `/openapi.json`. Absent: the operations of the API. */
  readonly operations?: readonly Operation[]
}
