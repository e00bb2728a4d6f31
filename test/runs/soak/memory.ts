import { Command } from 'commander'
import { SeededRandom } from '../../support/random.js'
import { countOption, seedOption, toolOptions } from '../../support/tool-options.js'
import { Clients, ways } from './clients.js'
import { MeasuredGateway } from './measured-gateway.js'
import { kinds } from './request-kinds.js'

const MIB = 1024 * 1024
/** From then on nothing grows: caches are full, and each kind of request has come often. */
const FLAT_AFTER_MINUTES = 10
const MAX_GROWTH_MIB = 30
/** On a busy machine some requests meet a deadline. Above this share it is no mixed use any more. */
const MAX_FAILED_SHARE = 0.001

const { minutes, seed } = toolOptions<{ readonly minutes: number; readonly seed: number }>(
  new Command('node --import tsx test/runs/soak/memory.ts')
    .description(
      'Mixed use by clients that get their answers, leave, or are refused; the memory of the gateway each minute. It must be\n' +
        'flat after ten minutes, which a shorter run does not show. Ends with `1 passed, 0 failed` or the reverse.'
    )
    .addOption(countOption('--minutes <N>', 'how long', 2))
    .addOption(seedOption())
)
console.log(`memory: seed ${seed}, ${minutes} minutes`)
const random = new SeededRandom(seed)
const gateway = await MeasuredGateway.start()
const clients = await Clients.of(gateway)
const external: number[] = []
let requests = 0
let failed = 0
const send = async (): Promise<void> => {
  await clients.send(random.pick(kinds), random.pick(ways)).catch((error: Error) => {
    failed++
    console.log(`not answered as wanted: ${error.message}`)
  })
  requests++
}
for (let minute = 1; minute <= minutes; minute++) {
  const endsAt = performance.now() + 60_000
  while (performance.now() < endsAt) await clients.repeat(50, send)
  const { heldBytes, externalBytes } = await gateway.memory()
  external.push(externalBytes / MIB)
  const [held, buffers] = [heldBytes, externalBytes].map(bytes => (bytes / MIB).toFixed(1))
  console.log(`minute ${minute}: ${requests} requests, ${buffers} MB of buffers, ${held} MB with the heap`)
}
const before = Math.max(...external.slice(0, FLAT_AFTER_MINUTES))
const isFlat = external.slice(FLAT_AFTER_MINUTES).every(value => value <= before + MAX_GROWTH_MIB)
clients.close()
await gateway.close()
if (!isFlat)
  console.log(`WRONG: more than ${MAX_GROWTH_MIB} MB above the ${before.toFixed(1)} MB of the first ten minutes`)
const isAnswered = failed <= requests * MAX_FAILED_SHARE
if (!isAnswered) console.log(`WRONG: ${failed} of ${requests} requests were not answered as wanted`)
const isGood = isFlat && isAnswered
console.log(isGood ? '1 passed, 0 failed' : '0 passed, 1 failed')
process.exit(isGood ? 0 : 1)
