import { availableParallelism } from 'node:os'
import { z } from 'zod'
import { count, milliseconds } from '../../core/settings/units.js'

export const workersSettings = z
  .strictObject({
    count: z
      .union([z.literal('auto'), count.max(256)])
      .default(1)
      .describe(
        'Processes that serve the same ports, each with its own connections to Kafka; `auto`: as many as there are cores. 1: the process itself serves'
      ),
    restartPauseMs: milliseconds
      .default(200)
      .describe(
        'Pause before a worker that has ended unexpectedly is started again; it doubles with each further time'
      ),
    maxRestartPauseMs: milliseconds.default(30_000).describe('Longest pause before a worker is started again')
  })
  .prefault({})
  .describe('Worker processes, explained in [operations.md](operations.md#several-workers)')

export type WorkersSettings = z.output<typeof workersSettings>

/** How many processes serve; 1: the one that was started does it itself. */
export const workerCountOf = ({ count: wanted }: WorkersSettings): number =>
  wanted === 'auto' ? availableParallelism() : wanted
