import { z } from 'zod'
import { host, milliseconds, millisecondsOrZero } from '../../core/settings/units.js'

export const logSettings = z
  .strictObject({
    level: z
      .enum(['debug', 'info', 'warn', 'error', 'silent'])
      .default('info')
      .describe('Lowest level that is written'),
    pretty: z
      .enum(['auto', 'always', 'never'])
      .default('auto')
      .describe('Readable lines instead of JSON; `auto`: when they go to stdout and it is a terminal'),
    file: z
      .string()
      .min(1)
      .optional()
      .describe('File that the log is appended to, instead of stdout; opened again on SIGHUP'),
    format: z
      .enum(['castellan', 'kprf'])
      .default('castellan')
      .describe(
        'Names of the fields in JSON: `castellan` has `level` (`info`) and `time`, `kprf` has `level` (`INFO`, `WARN`, `ERRO`), `ts` and `service`'
      )
  })
  .prefault({})
  .describe('The log')

export const statsdSettings = z
  .strictObject({
    host: host.optional().describe('The StatsD server that is sent all metrics by UDP; absent: none is'),
    port: z.int().min(1).max(65_535).default(8125).describe('UDP port of the StatsD server'),
    intervalMs: milliseconds.default(10_000).describe('Pause between two reports')
  })
  .prefault({})
  .describe('Metrics by StatsD')

export const serviceSettings = z
  .strictObject({
    pidFile: z
      .string()
      .min(1)
      .optional()
      .describe('File that the id of the process is written to before the start; it stays behind. Absent: none')
  })
  .prefault({})
  .describe('The process as a service of the system')

export const shutdownSettings = z
  .strictObject({
    graceMs: milliseconds
      .default(10_000)
      .describe(
        'Time limit for a stop after SIGTERM or SIGINT; records that Kafka has not taken by then are counted and lost'
      ),
    drainMs: millisecondsOrZero
      .optional()
      .describe(
        'How long requests are still served after SIGTERM or SIGINT while `/ready` already answers 503, so that load balancers stop sending requests first; at most half of `graceMs`. Absent: 0 when stdout is a terminal, else 5000'
      )
  })
  .prefault({})
  .describe('Stopping')
