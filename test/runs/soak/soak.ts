import { Command } from 'commander'
import { countOption, seedOption, toolOptions } from '../../support/tool-options.js'
import { runSoak } from './run-soak.js'

const CLIENTS = 100
/** Garbage is collected when the process sees fit, so a slope says less than the most that it had. */
const MAX_RESIDENT_MB = 350

const { seconds, seed } = toolOptions<{
  readonly seconds: number
  readonly seed: number
}>(
  new Command('node --import tsx test/runs/soak/soak.ts')
    .description('The long soak: prints its seed first, and ends with `1 passed, 0 failed` or the reverse.')
    .addOption(countOption('--seconds <S>', 'how long', 600))
    .addOption(seedOption())
)
console.log(`soak: seed ${seed}, ${seconds} s, ${CLIENTS} clients`)
const report = await runSoak({ seed, seconds, clients: CLIENTS, onSample: console.log })
console.log(JSON.stringify(report, null, 2))
const wrong = [
  report.answered !== report.sent && `${report.sent - report.answered} requests were not answered`,
  report.exitCode !== 0 && `the gateway ended with ${report.exitCode}`,
  Object.keys(report.faultsFired).length === 0 && 'no fault has fired',
  report.maxMb > MAX_RESIDENT_MB && `the gateway took ${report.maxMb.toFixed(0)} MB`
].filter(Boolean)
for (const line of wrong) console.log(`WRONG: ${line}`)
console.log(wrong.length === 0 ? '1 passed, 0 failed' : '0 passed, 1 failed')
process.exit(wrong.length === 0 ? 0 : 1)
