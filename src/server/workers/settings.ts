import { z } from 'zod'
import { count, milliseconds } from '../../core/settings/units.js'

export const workersSettings = z
  .strictObject({
    count: z
      .union([z.literal('auto'), count.max(256)])
      .default(1)
      .describe(
        'Number of processes that serve the same ports, each with its own connections to Kafka; `auto`: one for each core, within the CPU limit of the container; 1: the started process serves alone'
      ),
    restartPauseMs: milliseconds
      .default(200)
      .describe('Pause before a worker that has ended unexpectedly is started again; it doubles each time')
      .meta({ advanced: true }),
    maxRestartPauseMs: milliseconds
      .default(30_000)
      .describe('Longest pause before a worker is started again')
      .meta({ advanced: true })
  })
  .prefault({})
  .describe('Worker processes, explained in [operations.md](operations.md#several-workers)')

export type WorkersSettings = z.output<typeof workersSettings>
