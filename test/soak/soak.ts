import { Command } from 'commander'
import { countOption, seedOption, toolOptions } from '../support/tool-options.js'
import { runSoak } from './run-soak.js'
import { runWorkerSoak } from './run-worker-soak.js'

/** Of a gateway of several processes. */
const CLIENTS = 100
const MAX_RESIDENT_MB = 350

const { seconds, seed, actors, workers } = toolOptions<{
  readonly seconds: number
  readonly seed: number
  readonly actors: number
  readonly workers: number
}>(
  new Command('node --expose-gc --import tsx test/soak/soak.ts')
    .description(
      'The long soak: prints its seed first, and ends with `1 passed, 0 failed` or the reverse. With --workers 2 a built\n' +
        'gateway of two workers is soaked instead of the Router, over HTTP.'
    )
    .addOption(countOption('--seconds <S>', 'how long', 600))
    .addOption(seedOption())
    .addOption(countOption('--actors <N>', 'readers, producers and committers of the Router', 1_000))
    .addOption(countOption('--workers <N>', 'processes of the gateway', 1))
)
const end = (wrong: readonly (string | false)[]): never => {
  const found = wrong.filter(Boolean)
  for (const line of found) console.log(`WRONG: ${line}`)
  console.log(found.length === 0 ? '1 passed, 0 failed' : '0 passed, 1 failed')
  process.exit(found.length === 0 ? 0 : 1)
}

async function soakRouter(): Promise<readonly (string | false)[]> {
  console.log(`soak: seed ${seed}, ${seconds} s, ${actors} actors`)
  if (!globalThis.gc) console.log('without --expose-gc the slopes include garbage')
  const report = await runSoak({ seed, seconds, actors, onSample: console.log })
  console.log(JSON.stringify(report, null, 2))
  return [
    report.answered !== report.sent && `${report.sent - report.answered} requests were not answered`,
    report.waiting.length > 0 && `waits for ever: ${report.waiting.join('; ')}`,
    report.doubled > 0 && `${report.doubled} requests were answered twice`,
    report.cacheMaxBytes > report.cacheBound && 'the cache was larger than its bound',
    report.rssSlopeMbPerMinute > 1 && `RSS grew by ${report.rssSlopeMbPerMinute.toFixed(2)} MB/min`,
    Object.keys(report.faultsFired).length === 0 && 'no fault has fired'
  ]
}

/** Garbage is collected when the processes see fit, so a slope says less here than the most that one had. */
async function soakWorkers(): Promise<readonly (string | false)[]> {
  console.log(`soak: seed ${seed}, ${seconds} s, ${workers} workers, ${CLIENTS} clients`)
  const report = await runWorkerSoak({ seed, seconds, workers, clients: CLIENTS, onSample: console.log })
  console.log(JSON.stringify(report, null, 2))
  return [
    report.answered !== report.sent && `${report.sent - report.answered} requests were not answered`,
    report.exitCode !== 0 && `the gateway ended with ${report.exitCode}`,
    Object.keys(report.faultsFired).length === 0 && 'no fault has fired',
    ...report.processes.map(
      ({ maxMb }, index) => maxMb > MAX_RESIDENT_MB && `process ${index} took ${maxMb.toFixed(0)} MB`
    )
  ]
}

end(await (workers === 1 ? soakRouter() : soakWorkers()))
