import { security } from './access.js'
import { bystanders } from './bystanders.js'
import { confluent } from './confluent.js'
import { connections } from './connections.js'
import { consume } from './consume.js'
import { flood } from './flood.js'
import { gateways } from './gateways.js'
import { goodput } from './goodput.js'
import { idle } from './idle.js'
import { instances } from './instances.js'
import { journey } from './journey.js'
import { latency } from './latency.js'
import { lone } from './lone.js'
import { loops } from './loops.js'
import { names } from './names.js'
import { nodes } from './nodes.js'
import { overload } from './overload.js'
import { peers } from './peers.js'
import { pixy } from './pixy.js'
import { produce } from './produce.js'
import { push } from './push.js'
import { queue } from './queue.js'
import { receipts } from './receipts.js'
import { router } from './router.js'
import { schemas } from './schemas.js'
import { start } from './start.js'
import { status } from './status.js'
import { type BenchOptions, parseCommand } from './tools/options.js'
import { beyondLimits, type Row, toTable, writeJson } from './tools/report.js'
import { tracing } from './tracing.js'
import { wal } from './wal.js'
import { webhooks } from './webhooks.js'
import { write } from './write.js'

/** The benchmarks by name. Each ends the processes that it has started. */
const benchmarks = new Map<string, (options: BenchOptions) => Promise<readonly Row[]>>([
  ['push', push],
  ['access', security],
  ['connections', connections],
  ['receipts', receipts],
  ['tracing', tracing],
  ['confluent', confluent],
  ['schemas', schemas],
  ['produce', produce],
  ['consume', consume],
  ['router', router],
  ['idle', idle],
  ['instances', instances],
  ['flood', flood],
  ['goodput', goodput],
  ['overload', overload],
  ['latency', latency],
  ['lone', lone],
  ['loops', loops],
  ['bystanders', bystanders],
  ['names', names],
  ['nodes', nodes],
  ['peers', peers],
  ['pixy', pixy],
  ['queue', queue],
  ['wal', wal],
  ['webhooks', webhooks],
  ['gateways', gateways],
  ['write', write],
  ['start', start],
  ['status', status],
  ['journey', journey]
])

/** @returns the exit code */
async function main(): Promise<number> {
  const known = [...benchmarks.keys()]
  const command = parseCommand(process.argv.slice(2), known)
  const rows = await benchmarks.get(command.name)!(command)
  const report = { name: command.name, rows }
  process.stdout.write(toTable(report))
  if (command.json !== undefined) writeJson(command.json, report)
  const beyond = beyondLimits(rows)
  for (const line of beyond) process.stderr.write(`bench: ${line}\n`)
  return beyond.length === 0 ? 0 : 1
}

main().then(
  code => process.exit(code),
  error => {
    process.stderr.write(
      `bench: ${process.env.DEBUG ? (error as Error).stack : (error as Error).message.replace(/^error: /, '')}\n`
    )
    process.exit(1)
  }
)
