/**
 * Tests of a whole gateway whose clock, timers, randomness and connections come from a seed, so that they wait for nothing and
 * run alike on every machine. What they do with files on disk is real, and time stands still meanwhile.
 */

import { isOnRealKafka } from '../../support/target-cluster.js'
import { warmUp } from '../simulation/warm-up.js'
import { World } from '../simulation/world/world.js'

/** `WORLD_SEED=7 npx mocha FILE`: other latencies, other splits of what is sent, other names. */
const seed = Number(process.env.WORLD_SEED ?? 1)

/** What was on its way when everything was closed has arrived by then. */
const QUIET_MS = 1_000

/** Connections of Node's own `fetch` belong to the world in which they were opened. */
const DISPATCHER = Symbol.for('undici.globalDispatcher.1')
type Dispatchers = Record<symbol, { destroy(): Promise<void> } | undefined>

/**
 * All of the `describe` block that calls it runs in a world: call it first. With real Kafka it runs in real time. At its
 * end no timer and no connection may be left.
 */
export function inWorld(): void {
  if (isOnRealKafka()) return
  let world: World
  let stopTime: () => void
  before('a world opens', async function openWorld() {
    await warmUp()
    // Loads Node's own client of HTTP.
    await fetch('data:,')
    world = new World({ seed })
    stopTime = world.flow()
    // Added only now, so that it comes after all others.
    this.test!.parent!.afterAll('its world closes', async () => {
      await freshDispatcher()
      stopTime()
      await world.pass(QUIET_MS)
      world.close()
      const left = [...world.left(), ...world.crashes.map(({ error }) => `crashed: ${(error as Error).stack ?? error}`)]
      if (left.length > 0) throw new Error(`left behind in the world of seed ${seed}:\n${left.join('\n')}`)
    })
    await freshDispatcher()
  })
  afterEach(function tellSeed() {
    const { state, err } = this.currentTest!
    if (state === 'failed' && err !== undefined) err.message += ` (WORLD_SEED=${seed})`
  })
}

async function freshDispatcher(): Promise<void> {
  const globals = globalThis as unknown as Dispatchers
  const dispatcher = globals[DISPATCHER]
  if (dispatcher === undefined) return
  globals[DISPATCHER] = new (dispatcher.constructor as new () => { destroy(): Promise<void> })()
  await dispatcher.destroy()
}
