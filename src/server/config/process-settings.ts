import { z } from 'zod'
import { MAX_TIMER_MS } from '../../core/model.js'
import { host, milliseconds, millisecondsOrZero, nonEmpty } from '../../core/settings/units.js'

/** Shortest interval: more frequent questions about the lag would be a load for the brokers. */
const LEAST_PAUSE_MS = 1_000
/** Limit of the groups in the configuration. Groups that are served come on top. */
const MAX_LISTED_GROUPS = 200

export const logSettings = z
  .strictObject({
    level: z
      .enum(['debug', 'info', 'warn', 'error', 'silent'])
      .default('info')
      .describe('Lowest level of log lines that are written'),
    file: nonEmpty
      .optional()
      .describe('File to which the log is appended, instead of stdout. It is opened again on SIGHUP'),
    format: z
      .enum(['auto', 'text', 'json', 'kprf'])
      .default('auto')
      .describe(
        'Format of the log lines. `text`: for people; `json`: one object per line; `kprf`: JSON with the fields of kprf, `level` (`INFO`, `WARN`, `ERRO`), `ts` and `service`; `auto`: `text` when stdout is a terminal and no file is set, otherwise `json`'
      )
  })
  .prefault({})
  .describe('The log')

export const statsdSettings = z
  .strictObject({
    host: host.optional().describe('The StatsD server to which all metrics are sent by UDP; absent: none'),
    port: z.int().min(1).max(65_535).default(8125).describe('UDP port of the StatsD server')
  })
  .prefault({})
  .describe('Metrics by StatsD')

export const metricsSettings = z
  .strictObject({
    lag: z
      .strictObject({
        everyMs: z
          .int()
          .min(LEAST_PAUSE_MS)
          .max(MAX_TIMER_MS)
          .optional()
          .describe(
            'How often Kafka is asked for the lag of each group that the gateways serve, and of `groups`. At least 1000; absent: never'
          ),
        groups: z
          .array(nonEmpty)
          .max(MAX_LISTED_GROUPS)
          .default([])
          .describe(
            'Further groups whose lag is asked for, at most 200: groups of other clients, and groups that are not always served. A group of another cluster than `default` is `CLUSTER/GROUP`'
          )
      })
      .prefault({})
      .describe('The lag of consumer groups, explained in [metrics.md](metrics.md#lag-of-consumer-groups)')
  })
  .prefault({})
  .describe('Metrics that cost questions to Kafka')

export type LagSettings = z.output<typeof metricsSettings>['lag']

export const serviceSettings = z
  .strictObject({
    pidFile: nonEmpty.optional().describe('File for the id of the process, written before the start, and not removed')
  })
  .prefault({})
  .describe('The process as a service of the system')

/** Largest share of `shutdown.graceMs` that draining may take, and that webhooks may take, which leave meanwhile. */
export const DRAIN_SHARE = 0.5

export const shutdownSettings = z
  .strictObject({
    graceMs: milliseconds
      .default(10_000)
      .describe(
        'Time limit for a stop after SIGTERM or SIGINT; records in memory that Kafka has not taken by then are counted and lost'
      ),
    drainMs: millisecondsOrZero
      .optional()
      .describe(
        'How long requests are still served after SIGTERM or SIGINT while `/ready` already answers 503; at most half of `graceMs`. Absent: 0 when stdout is a terminal, else 5000 or half of `graceMs`, whichever is less'
      )
  })
  .prefault({})
  .describe('Stopping')
